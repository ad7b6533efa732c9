"""Constructing preference pairs whose label is right by construction. Pure, given the responses.

Strategies (METHOD: Self-Taught Evaluators; those after the first two make a small judge's lessons more
varied than topic alone, and their shares were chosen by measurement, docs/experiments.md):

modified     the response to a similar but different instruction that the generator wrote (the paper's)
neighbor     the response to one of the most similar other instructions, of about the same length
random       the response to any other instruction
hotter       a response to the same instruction that was sampled at a higher temperature
logged       the response that was logged in production, against the generator's own at the same place
later        the response that was logged, against the one logged to a later turn of the same conversation
requirement  two versions of the response, under an added requirement that only the chosen one meets
shortened    a full response to another instruction, against a shortened good one
corrupted    the same response with a quarter of its words out of place
substituted  the same response with words of another one in it
spliced      the same response with sentences of another one in it
renumbered   the same response with some of its numbers changed
repeating    the same response, repeating itself from some sentence on
incomplete   the same response without its second half
broken_off   the same response, broken off in the middle of a sentence
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from judge.comparison import Instruction, Message, PreferencePair, fold
from judge.pairs import degraded, requirements
from judge.pairs.requirements import sentences
from judge.pairs.similarity import nearest

_MIN_CHARS = 8


@dataclass(frozen=True, slots=True)
class Answered:
    """An instruction with a good response, and perhaps worse ones that were written for it.

    `modified_response` is to `modified`, another instruction that the generator made of this one.
    `weaker_response`: the generator's, where the good one was logged by a model that answers better.
    `later`: later turns of the conversation and what was logged to them, each with the key that holds it.
    """

    key: int
    instruction: Instruction
    response: str
    modified_response: str | None = None
    hotter_response: str | None = None
    weaker_response: str | None = None
    later: tuple[tuple[int, Instruction, str], ...] = ()
    modified: Instruction | None = None
    logged: bool = False


def usable(response: str) -> bool:
    """Whether a generated text can stand as a response at all."""
    return len(fold(response)) >= _MIN_CHARS


def whole_sentences(response: str, finished: bool) -> str:
    """A response that was cut off, without its last, broken sentence (unless it is the only one)."""
    text = response.strip()
    if finished:
        return text
    parts = sentences(text)
    if len(parts) < 2:
        return text
    return text[: text.rindex(parts[-1])].rstrip() or text


def construct(
    pool: Sequence[Answered],
    shares: Mapping[str, float],
    per_instruction: int,
    rng: random.Random,
    *,
    both_ways: bool = False,
) -> list[tuple[int, PreferencePair]]:
    """Pairs for each instruction of a pool, as (key, pair).

    Every instruction gets `per_instruction` different pairs, the strategy of each drawn by the shares. One
    that cannot serve an instruction (once more) gives way to another, so a weak generator's missing modified
    instructions become neighbors. All rejected responses come from the pool itself, and borrowed ones of
    instructions with a logged response from others with one: else whose words they are would tell.

    `both_ways`: a pair whose rejected response answers another instruction comes with its counterpart, where
    that other instruction is asked and the two have changed places. Nothing about the two responses alone
    tells which is chosen then: the instructions have to be read.
    """
    pairs = [
        made
        for logged in (False, True)
        for made in _constructed([one for one in pool if one.logged == logged], shares, per_instruction, rng)
    ]
    turned = (_counterpart(key, pair) for key, pair in pairs if both_ways)
    return pairs + [made for made in turned if made is not None]


def _counterpart(key: int, pair: PreferencePair) -> tuple[int, PreferencePair] | None:
    if pair.rejected_for is None:
        return None
    asked, lender = (key, None) if pair.lender is None else (pair.lender, key)
    turned = PreferencePair(pair.rejected_for, pair.rejected, pair.chosen, pair.strategy, lender)
    return asked, turned


def _constructed(
    pool: Sequence[Answered], shares: Mapping[str, float], per_instruction: int, rng: random.Random
) -> list[tuple[int, PreferencePair]]:
    if len(pool) < 2:
        return []
    neighbors = nearest([item.instruction.text for item in pool], 6)
    pairs = []
    for position, item in enumerate(pool):
        made: set[PreferencePair] = set()
        for _ in range(per_instruction):
            for strategy in _draw_order(shares, rng):
                pair = _MAKERS[strategy](pool, position, neighbors[position], rng)
                if pair is not None and pair not in made and _of_use(pair):
                    made.add(pair)
                    pairs.append((item.key, pair))
                    break
    return pairs


def _of_use(pair: PreferencePair) -> bool:
    return pair.chosen.strip() != pair.rejected.strip() and usable(pair.rejected)


def _draw_order(shares: Mapping[str, float], rng: random.Random) -> list[str]:
    """All strategies with a share, in a random order weighted by it (Efraimidis and Spirakis 2006)."""
    keyed = [(rng.random() ** (1 / share), name) for name, share in shares.items() if share > 0]
    return [name for _, name in sorted(keyed, reverse=True)]


Maker = Callable[[Sequence[Answered], int, Sequence[int], random.Random], PreferencePair | None]


def _neighbor(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    if not near:
        return None
    item = pool[position]
    closest = min(near, key=lambda j: abs(len(pool[j].response) - len(item.response)))
    return _borrowed(item, pool[closest], "neighbor")


def _modified(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item = pool[position]
    if item.modified_response is None:
        return None
    return PreferencePair(
        item.instruction, item.response, item.modified_response, "modified", rejected_for=item.modified
    )


def _hotter(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item = pool[position]
    if item.hotter_response is None:
        return None
    return PreferencePair(item.instruction, item.response, item.hotter_response, "hotter")


def _logged(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item = pool[position]
    if item.weaker_response is None:
        return None
    # The generator writes to its limit, whatever was asked; how long a text is must not tell whose it is.
    rejected = _about_as_long(item.weaker_response, len(item.response))
    return PreferencePair(item.instruction, item.response, rejected, "logged")


def _later(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item = pool[position]
    if not item.later:
        return None
    lender, asked, response = rng.choice(item.later)
    own = lender == item.key
    return PreferencePair(item.instruction, item.response, response, "later", None if own else lender, asked)


def _about_as_long(text: str, chars: int) -> str:
    """The first sentences of a text, as many as come nearest to a length."""
    ends, position = [], 0
    for part in sentences(text):
        position = text.index(part, position) + len(part)
        ends.append(position)
    return text[: min(ends, key=lambda end: abs(end - chars), default=len(text))]


def _random(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    return _borrowed(pool[position], pool[_another(len(pool), position, rng)], "random")


def _borrowed(item: Answered, lender: Answered, strategy: str) -> PreferencePair:
    """The response against that of another instruction of the pool."""
    lent_by = None if lender.key == item.key else lender.key
    return PreferencePair(
        item.instruction, item.response, lender.response, strategy, lent_by, lender.instruction
    )


def _requirement(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item = pool[position]
    wanted, another = rng.sample([*requirements.GENERAL, *requirements.about(item.response, rng)], 2)
    chosen = wanted.meet(item.response)
    # Half of the time both are rewritten, or being rewritten would be what to look for.
    rejected = another.meet(item.response) if rng.random() < 0.5 else wanted.spoil(item.response)
    if not usable(chosen) or not wanted.met(chosen) or wanted.met(rejected):
        return None
    *before, last = item.instruction.messages
    demanded = f"{last.content.rstrip()}\n\n{wanted.demand(rng)}"
    return PreferencePair(Instruction((*before, Message("user", demanded))), chosen, rejected, "requirement")


def _shortened(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item, another = pool[position], pool[_another(len(pool), position, rng)]
    parts = sentences(item.response)
    chosen = " ".join(parts[: max(1, len(parts) // 2)])
    if len(parts) < 2 or not usable(chosen) or len(another.response) <= len(chosen):
        return None
    return PreferencePair(item.instruction, chosen, another.response, "shortened", another.key)


def _worse(strategy: str, degrade: Callable[[str, random.Random], str | None]) -> "Maker":
    """The response against a worse version of itself."""

    def make(
        pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
    ) -> PreferencePair | None:
        item = pool[position]
        rejected = degrade(item.response, rng)
        return PreferencePair(item.instruction, item.response, rejected, strategy) if rejected else None

    return make


def _mixed(strategy: str, degrade: Callable[[str, str, random.Random], str | None]) -> "Maker":
    """The response against a version of itself with parts of a neighbor's response."""

    def make(
        pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
    ) -> PreferencePair | None:
        item = pool[position]
        other = pool[rng.choice(near)] if near else pool[_another(len(pool), position, rng)]
        rejected = degrade(item.response, other.response, rng)
        if not rejected:
            return None
        return PreferencePair(item.instruction, item.response, rejected, strategy, other.key)

    return make


def _another(size: int, position: int, rng: random.Random) -> int:
    index = rng.randrange(size - 1)
    return index + (index >= position)


_MAKERS: dict[str, Maker] = {
    "neighbor": _neighbor,
    "modified": _modified,
    "random": _random,
    "hotter": _hotter,
    "logged": _logged,
    "later": _later,
    "requirement": _requirement,
    "shortened": _shortened,
    "corrupted": _worse("corrupted", degraded.displaced),
    "substituted": _mixed("substituted", degraded.substituted),
    "spliced": _mixed("spliced", degraded.spliced),
    "renumbered": _worse("renumbered", degraded.renumbered),
    "repeating": _worse("repeating", degraded.repeating),
    "incomplete": _worse("incomplete", degraded.incomplete),
    "broken_off": _worse("broken_off", degraded.broken_off),
}
STRATEGIES = tuple(_MAKERS)
