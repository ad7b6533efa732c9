"""Whether rewards are still fit to train on: their spread, their saturation, what they go with. Pure.

Each call leaves sums (`sums_of`) with its record; sums of calls add up, so a report over any time is one
addition in the database, and `Health` reads them.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scipy.stats import norm

from judge.judging.rewards import Reward

BINS = 20
SATURATED = 0.01
# Of the population stability index: below 0.1 nothing has changed, above 0.25 much has (a custom of credit
# scoring, where the index comes from).
SHIFTED = 0.25
_SATURATED_SHARE = 0.5
_LENGTH = 0.5
_FLAT = 0.01
_FEWEST = 100
Sums = Mapping[str, float]


def sums_of(rewards: Iterable[tuple[Reward, int]]) -> dict[str, float]:
    """Sums over rewards and the lengths of their responses in characters; what is zero is left out.

    Empty responses are counted alone: that they are short and badly rewarded says nothing of the judge.
    """
    sums: dict[str, float] = {}

    def add(name: str, value: float = 1) -> None:
        sums[name] = sums.get(name, 0) + value

    for one, length in rewards:
        if one.empty:
            add("empty")
        elif one.share is None:
            add("invalid")
        else:
            share = one.share
            add("n")
            for name, value in (
                ("s", share), ("ss", share**2), ("l", length), ("ll", length**2), ("sl", share * length)
            ):  # fmt: skip
                add(name, value)
            add(f"bin{min(int(share * BINS), BINS - 1)}")
            if share < SATURATED:
                add("low")
            elif share > 1 - SATURATED:
                add("high")
    return sums


@dataclass(frozen=True, slots=True)
class Health:
    """What sums say. `recent` are those of the last part of the time, and part of `all`."""

    all: Sums
    recent: Sums

    def count(self, name: str) -> int:
        """One of the counts."""
        return int(self.all.get(name, 0))

    @property
    def mean(self) -> float | None:
        """Mean share."""
        return self.all["s"] / self.all["n"] if self.count("n") else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the shares."""
        return math.sqrt(_variance(self.all, "s", "ss")) if self.count("n") > 1 else None

    def saturated(self, end: str) -> float | None:
        """Share of rewards at the `low` or the `high` end."""
        return self.all.get(end, 0) / self.all["n"] if self.count("n") else None

    @property
    def length_correlation(self) -> tuple[float, float, float] | None:
        """Pearson's r of reward and length with Fisher's 95 percent interval; None where one is constant."""
        n = self.count("n")
        spread = _variance(self.all, "s", "ss") * _variance(self.all, "l", "ll") if n > 3 else 0.0
        if spread <= 0:
            return None
        covariance = self.all["sl"] / n - (self.all["s"] / n) * (self.all["l"] / n)
        r = max(-1.0, min(1.0, covariance / math.sqrt(spread)))
        z, half = math.atanh(max(-0.999999, min(0.999999, r))), float(norm.ppf(0.975)) / math.sqrt(n - 3)
        return r, math.tanh(z - half), math.tanh(z + half)

    @property
    def histogram(self) -> list[int]:
        """Counts of shares in `BINS` equal bins."""
        return [self.count(f"bin{index}") for index in range(BINS)]

    @property
    def shift(self) -> float | None:
        """Population stability index of the recent rewards against the earlier; None where too few."""
        recent = [self.recent.get(f"bin{index}", 0) for index in range(BINS)]
        earlier = [whole - new for whole, new in zip(self.histogram, recent, strict=True)]
        if min(sum(recent), sum(earlier)) < _FEWEST:
            return None
        # Half a reward in every bin: an empty one would make the index infinite.
        new, old = ([(value + 0.5) / (sum(part) + BINS / 2) for value in part] for part in (recent, earlier))
        return sum((p - q) * math.log(p / q) for p, q in zip(new, old, strict=True))

    def warnings(self) -> list[str]:
        """What somebody who trains on these rewards should look at."""
        if self.count("n") < _FEWEST:
            return []
        found = []
        for end, word in (("low", "worst"), ("high", "best")):
            share = self.saturated(end) or 0
            if share > _SATURATED_SHARE:
                found.append(
                    f"{share:.0%} of the rewards are at the {word} end: little is left to tell apart"
                )
        if (self.deviation or 0) < _FLAT:
            found.append("the rewards hardly differ: there is nothing to learn from them")
        length = self.length_correlation
        if length and max(length[1], -length[2]) > _LENGTH:
            longer = "longer" if length[0] > 0 else "shorter"
            found.append(f"{longer} responses get higher rewards (r = {length[0]:.2f})")
        if self.shift is not None and self.shift > SHIFTED:
            found.append(f"the last rewards are distributed otherwise than before (index {self.shift:.2f})")
        return found


class Totals:
    """Sums of rewards by version since the process began."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, float]] = defaultdict(dict)

    def add(self, version: str, sums: dict[str, float]) -> Health:
        """Add a call's sums; returns the health of the version so far."""
        own = self._sums[version]
        for name, value in sums.items():
            own[name] = own.get(name, 0) + value
        return Health(own, {})


def _variance(sums: Sums, first: str, second: str) -> float:
    n = sums["n"]
    return max(sums.get(second, 0) / n - (sums.get(first, 0) / n) ** 2, 0.0)
