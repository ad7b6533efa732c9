"""Even sets of examples: neither place nor length may tell which response is the better one. Pure."""

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from judge.comparison import PreferencePair

LOW, HIGH = 0.45, 0.55
# The rarer length's share of a strategy's pairs, from which on the strategy is made even in itself.
_BOTH_WAYS = 0.15


def even(longer: int, shorter: int, room: int) -> tuple[int, int]:
    """How many to take of each, at most `room` together, so that 45 to 55 percent of them are longer ones.

    No other choice of that kind takes more.
    """
    for total in range(min(room, longer + shorter), 0, -1):
        low = max(math.ceil(LOW * total), total - shorter)
        high = min(math.floor(HIGH * total), longer)
        if low <= high:
            taken = min(max(total // 2, low), high)
            return taken, total - taken
    return 0, 0


def even_lengths(pairs: Sequence[PreferencePair], room: int, rng: random.Random) -> list[int]:
    """Indexes of at most `room` pairs; the chosen response is the longer one as often as the shorter one.

    Otherwise "the longer one wins" (or loses) would be a lesson. It would be one as well if it held among the
    pairs of one strategy and its opposite among those of another: so each strategy is even in itself. Only
    those that make nearly all of their pairs one way make up for each other. Pairs of equal length stay.
    """
    strategies: dict[str, list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        strategies[pair.strategy].append(index)
    units: list[list[int]] = []
    one_sided: dict[int, list[int]] = {1: [], -1: []}
    for indexes in strategies.values():
        found = _by_length(pairs, indexes)
        units += [[index] for index in found[0]]
        rarer, commoner = sorted((len(found[1]), len(found[-1])))
        if rarer >= _BOTH_WAYS * (rarer + commoner):
            units += _couples(found[1], found[-1], rng)
        else:
            for sign in (1, -1):
                one_sided[sign] += found[sign]
    units += _couples(one_sided[1], one_sided[-1], rng)
    kept: list[int] = []
    for unit in rng.sample(units, len(units)):
        if len(kept) + len(unit) <= room:
            kept += unit
    return sorted(kept)


def _couples(longer: Sequence[int], shorter: Sequence[int], rng: random.Random) -> list[list[int]]:
    count = min(len(longer), len(shorter))
    both = zip(rng.sample(longer, count), rng.sample(shorter, count), strict=True)
    return [list(couple) for couple in both]


def even_places(
    pairs: Sequence[PreferencePair], chosen_first: Sequence[bool], room: int, rng: random.Random
) -> list[int]:
    """Indexes of at most `room` examples, even in length as above and half of them with the chosen one first.

    The places are even among the longer and among the shorter ones each: else "the first one if it is longer"
    would be a lesson. So each kind is cut to twice its rarer place first.
    """
    cells: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for sign, indexes in _by_length(pairs, range(len(pairs))).items():
        for index in indexes:
            cells[sign, chosen_first[index]].append(index)
    both = {sign: min(len(cells[sign, True]), len(cells[sign, False])) for sign in (1, -1, 0)}
    longer, shorter = even(both[1], both[-1], room // 2)
    counts = {1: longer, -1: shorter, 0: min(both[0], room // 2 - longer - shorter)}
    return sorted(
        index for (sign, _), indexes in sorted(cells.items()) for index in rng.sample(indexes, counts[sign])
    )


def capped(groups: Sequence[Hashable], cap: int, rng: random.Random) -> list[int]:
    """Indexes of at most `cap` members of each group; None is no group and has no cap."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    kept = [
        indexes if group is None or len(indexes) <= cap else rng.sample(indexes, cap)
        for group, indexes in members.items()
    ]
    return sorted(index for indexes in kept for index in indexes)


def _by_length(pairs: Sequence[PreferencePair], indexes: Iterable[int]) -> dict[int, list[int]]:
    """Indexes of the pairs whose chosen response is longer (1), shorter (-1) or equally long (0)."""
    found: dict[int, list[int]] = {1: [], -1: [], 0: []}
    for index in indexes:
        difference = len(pairs[index].chosen) - len(pairs[index].rejected)
        found[(difference > 0) - (difference < 0)].append(index)
    return found
