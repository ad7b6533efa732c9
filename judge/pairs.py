"""Constructing preference pairs whose label is right by construction. Pure, given the responses.

Strategies (METHOD: Self-Taught Evaluators; the last four make a small judge's lessons more varied than
topic alone, and were chosen by measurement, docs/measurements.md):

modified     the response to a similar but different instruction that the generator wrote (the paper's)
neighbor     the response to one of the most similar other instructions, of about the same length
random       the response to any other instruction
requirement  the same response, under an added requirement that only the chosen version meets
corrupted    the same response with a quarter of its words out of place
shortened    a full response to another instruction, against a shortened good one
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from judge.comparison import Instruction, Message, PreferencePair, fold
from judge.similarity import nearest

STRATEGIES = ("neighbor", "modified", "random", "requirement", "corrupted", "shortened")
_MIN_CHARS = 8
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s*")


@dataclass(frozen=True, slots=True)
class Answered:
    """An instruction with a good response, and perhaps a response to a modified instruction."""

    key: int
    instruction: Instruction
    response: str
    modified_response: str | None = None


def usable(response: str) -> bool:
    """Whether a generated text can stand as a response at all."""
    return len(fold(response)) >= _MIN_CHARS


def whole_sentences(response: str, finished: bool) -> str:
    """A response that was cut off, without its last, broken sentence (unless it is the only one)."""
    text = response.strip()
    if finished:
        return text
    sentences = [part for part in _SENTENCE_END.split(text) if part]
    if len(sentences) < 2:
        return text
    return text[: text.rindex(sentences[-1])].rstrip() or text


def construct(
    pool: Sequence[Answered], shares: Mapping[str, float], per_instruction: int, rng: random.Random
) -> list[tuple[int, PreferencePair]]:
    """Pairs for each instruction of a pool, as (key, pair).

    Every instruction gets `per_instruction` different strategies, drawn by their shares. A strategy that
    cannot serve an instruction gives way to the next one drawn, so a weak generator's missing modified
    instructions become neighbors. All rejected responses come from the pool itself.
    """
    if len(pool) < 2:
        return []
    neighbors = nearest([item.instruction.text for item in pool], 6)
    pairs = []
    for position, item in enumerate(pool):
        made = 0
        for strategy in _draw_order(shares, rng):
            if made == per_instruction:
                break
            pair = _MAKERS[strategy](pool, position, neighbors[position], rng)
            if pair is not None and pair.chosen.strip() != pair.rejected.strip() and usable(pair.rejected):
                pairs.append((item.key, pair))
                made += 1
    return pairs


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
    return PreferencePair(item.instruction, item.response, pool[closest].response, "neighbor")


def _modified(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item = pool[position]
    if item.modified_response is None:
        return None
    return PreferencePair(item.instruction, item.response, item.modified_response, "modified")


def _random(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item, another = pool[position], pool[_another(len(pool), position, rng)]
    return PreferencePair(item.instruction, item.response, another.response, "random")


def _requirement(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item = pool[position]
    demand, meet = rng.choice(_REQUIREMENTS)
    chosen = meet(item.response)
    if chosen == item.response:
        return None
    *before, last = item.instruction.messages
    instruction = Instruction((*before, Message("user", f"{last.content.rstrip()}\n\n{demand}")))
    return PreferencePair(instruction, chosen, item.response, "requirement")


def _corrupted(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item = pool[position]
    spaced = " " in item.response
    units = item.response.split(" ") if spaced else list(item.response)
    if len(units) < 8:
        return None
    moved = rng.sample(range(len(units)), max(4, len(units) // 4))
    shuffled = moved[1:] + moved[:1]
    mixed = list(units)
    for source, target in zip(moved, shuffled, strict=True):
        mixed[target] = units[source]
    rejected = (" " if spaced else "").join(mixed)
    return PreferencePair(item.instruction, item.response, rejected, "corrupted")


def _shortened(
    pool: Sequence[Answered], position: int, near: Sequence[int], rng: random.Random
) -> PreferencePair | None:
    item, another = pool[position], pool[_another(len(pool), position, rng)]
    sentences = [part for part in _SENTENCE_END.split(item.response) if part]
    chosen = " ".join(sentences[: max(1, len(sentences) // 2)])
    if len(sentences) < 2 or not usable(chosen) or len(another.response) <= len(chosen):
        return None
    return PreferencePair(item.instruction, chosen, another.response, "shortened")


def _another(size: int, position: int, rng: random.Random) -> int:
    index = rng.randrange(size - 1)
    return index + (index >= position)


def _bullets(text: str) -> str:
    return "\n".join(f"- {part.strip()}" for part in _SENTENCE_END.split(text) if part.strip())


def _first_sentence(text: str) -> str:
    return _SENTENCE_END.split(text.strip())[0]


_REQUIREMENTS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("Write the whole answer in capital letters.", str.upper),
    ("Do not use any commas.", lambda text: text.replace(",", "").replace("，", "")),
    ("Write only a list of bullet points, one sentence each.", _bullets),
    ("Answer in a single sentence.", _first_sentence),
    ("Begin with the words: Here is my answer.", lambda text: f"Here is my answer. {text}"),
    ("End with the words: That is all.", lambda text: f"{text.rstrip()} That is all."),
    ("Put the whole answer in double quotation marks.", lambda text: f'"{text.strip()}"'),
)

_MAKERS: dict[str, Maker] = {
    "neighbor": _neighbor,
    "modified": _modified,
    "random": _random,
    "requirement": _requirement,
    "corrupted": _corrupted,
    "shortened": _shortened,
}
