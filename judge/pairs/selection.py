"""Drawing an even and, if wanted, hard selection of instructions within quotas. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judge.pairs.classification import HARDEST, Category, Classification, Length, complexity_range

# The first iteration of a curriculum aims at the middle of the scale; each later one higher.
_FIRST, _STEP = 4, 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instruction that could be drawn, newest with the highest key; `classified` where a model did."""

    key: int
    language: str
    chars: int
    classified: Classification | None = None


@dataclass(frozen=True, slots=True)
class Quotas:
    """The largest share of the selection that a value may have, by dimension; unnamed ones share the rest."""

    category: Mapping[Category, float]
    complexity: Mapping[str, float]
    length: Mapping[Length, float]


def target_complexity(generation: int) -> int:
    """Where a curriculum aims in the generation-th iteration of a champion's line, from 0."""
    return min(_FIRST + _STEP * generation, HARDEST)


def draw(
    candidates: Sequence[Candidate], wanted: int, quotas: Quotas, target: int | None = None
) -> tuple[list[int], dict[int, str]]:
    """Keys to take, sorted, and the reason for each key left out.

    Taken in turn from each stratum (language and category, or without one the instruction's own length),
    newest first within it, or nearest to the target complexity first. Quotas are bounds: where they leave too
    few, the selection is smaller, not uneven.
    """
    strata: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for one in sorted(candidates, key=lambda one: (_distance(one, target), -one.key), reverse=True):
        strata[one.language, one.classified.category if one.classified else _length_bin(one)].append(one)
    room = {name: _Room(shares, wanted) for name, shares in _shares(quotas).items()}
    taken: list[int] = []
    dropped: dict[int, str] = {}
    while any(strata.values()):
        for key in sorted(strata):
            while strata[key]:
                one = strata[key].pop()
                if len(taken) == wanted:
                    dropped[one.key] = "not_needed"
                elif full := next(
                    (name for name in room if not room[name].fits(_value(one, name, quotas))), None
                ):
                    dropped[one.key] = f"quota_{full}"
                    continue
                else:
                    taken.append(one.key)
                    for name in room:
                        room[name].take(_value(one, name, quotas))
                break
    return sorted(taken), dropped


class _Room:
    """What is left of one dimension's quotas."""

    def __init__(self, shares: Mapping[str, float], wanted: int) -> None:
        self._left = Counter({value: round(share * wanted) for value, share in shares.items()})
        self._rest = wanted - self._left.total()

    def fits(self, value: str) -> bool:
        return self._left.get(value, self._rest) > 0

    def take(self, value: str) -> None:
        if value in self._left:
            self._left[value] -= 1
        else:
            self._rest -= 1


def _shares(quotas: Quotas) -> dict[str, Mapping[str, float]]:
    named: dict[str, Mapping[Any, float]] = {
        "category": quotas.category,
        "complexity": quotas.complexity,
        "length": quotas.length,
    }
    return {name: shares for name, shares in named.items() if shares}


def _value(one: Candidate, dimension: str, quotas: Quotas) -> str:
    if one.classified is None:
        return ""
    if dimension == "complexity":
        level = one.classified.complexity
        return next((name for name in quotas.complexity if level in complexity_range(name)), "")
    return one.classified.category if dimension == "category" else one.classified.length


def _distance(one: Candidate, target: int | None) -> int:
    if target is None or one.classified is None:
        return 0
    return abs(one.classified.complexity - target)


def _length_bin(one: Candidate) -> str:
    return str(min(one.chars // 100, 4))
