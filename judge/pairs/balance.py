"""Even sets of examples: neither place nor length may tell which response is the better one. Pure."""

import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

from judge.comparison import PreferencePair

Item = TypeVar("Item")
# The rarer length's share of a strategy's pairs, from which on the strategy is made even in itself.
_BOTH_WAYS = 0.15


def even_lengths(pairs: Sequence[PreferencePair], room: int, rng: random.Random) -> list[int]:
    """Indexes of at most `room` pairs; the chosen response is the longer one as often as the shorter one.

    Otherwise "the longer one wins" (or loses) would be a lesson. It would be one as well if it held among the
    pairs of one strategy and its opposite among those of another: so each strategy is even in itself. Only
    those that make nearly all of their pairs one way make up for each other. Pairs of equal length stay.
    A pair and its counterpart, the same two responses the other way round, stay or go together.
    """
    open_: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    couples: list[list[int]] = []
    for index, pair in enumerate(pairs):
        if found := open_[pair.strategy, pair.rejected, pair.chosen]:
            couples.append([found.pop(), index])
        else:
            open_[pair.strategy, pair.chosen, pair.rejected].append(index)
    single = [[index] for index in sorted(index for indexes in open_.values() for index in indexes)]
    return _fill([*couples, *_units(pairs, single, rng)], room, rng)


def even_places(
    pairs: Sequence[PreferencePair], chosen_first: Sequence[bool], room: int, rng: random.Random
) -> list[int]:
    """Indexes of at most `room` examples, even in length as above and half of them with the chosen one first.

    The places are even among the longer and among the shorter ones of a strategy each: else "the first one if
    it is longer" would be a lesson. So examples stay or go in couples, one with the chosen response first and
    one of the same strategy and kind with it last.
    """
    cells: dict[tuple[str, int, bool], list[int]] = defaultdict(list)
    for index, (pair, first) in enumerate(zip(pairs, chosen_first, strict=True)):
        cells[pair.strategy, _sign(pair), first].append(index)
    couples = [
        couple
        for strategy, sign in dict.fromkeys((strategy, sign) for strategy, sign, _ in cells)
        for couple in _couples(cells[strategy, sign, True], cells[strategy, sign, False], rng)
    ]
    return _fill(_units(pairs, couples, rng), room, rng)


def _units(
    pairs: Sequence[PreferencePair], blocks: Sequence[list[int]], rng: random.Random
) -> list[list[int]]:
    """Blocks joined to units that are even in length. All of a block are of one strategy and one sign."""
    strategies: dict[str, dict[int, list[list[int]]]] = defaultdict(lambda: {1: [], -1: [], 0: []})
    for block in blocks:
        pair = pairs[block[0]]
        strategies[pair.strategy][_sign(pair)].append(block)
    units: list[list[int]] = []
    one_sided: dict[int, list[list[int]]] = {1: [], -1: []}
    for found in strategies.values():
        units += found[0]
        rarer, commoner = sorted((len(found[1]), len(found[-1])))
        if rarer >= _BOTH_WAYS * (rarer + commoner):
            units += _joined(found[1], found[-1], rng)
        else:
            for sign in (1, -1):
                one_sided[sign] += found[sign]
    return units + _joined(one_sided[1], one_sided[-1], rng)


def _fill(units: Sequence[list[int]], room: int, rng: random.Random) -> list[int]:
    """The indexes of units drawn at random that together have room."""
    kept: list[int] = []
    for unit in rng.sample(units, len(units)):
        if len(kept) + len(unit) <= room:
            kept += unit
    return sorted(kept)


def _joined(longer: Sequence[list[int]], shorter: Sequence[list[int]], rng: random.Random) -> list[list[int]]:
    return [one + other for one, other in _couples(longer, shorter, rng)]


def _couples(some: Sequence[Item], others: Sequence[Item], rng: random.Random) -> list[list[Item]]:
    """As many of the one as of the other, two by two."""
    count = min(len(some), len(others))
    both = zip(rng.sample(some, count), rng.sample(others, count), strict=True)
    return [list(couple) for couple in both]


def _sign(pair: PreferencePair) -> int:
    """Whether the chosen response is longer (1), shorter (-1) or equally long (0)."""
    difference = len(pair.chosen) - len(pair.rejected)
    return (difference > 0) - (difference < 0)


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
