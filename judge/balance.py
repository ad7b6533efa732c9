"""Even sets of examples: neither place nor length may tell which response is the better one. Pure."""

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Sequence

from judge.comparison import PreferencePair

LOW, HIGH = 0.45, 0.55


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
    """Indexes of at most `room` pairs, in 45 to 55 percent of which the longer response is the chosen one.

    Otherwise "the longer one wins" (or loses) would be a lesson. Pairs of equal length count for neither and
    come last.
    """
    found = _by_length(pairs)
    longer, shorter = even(len(found[1]), len(found[-1]), room)
    taken = rng.sample(found[1], longer) + rng.sample(found[-1], shorter)
    return sorted(taken + rng.sample(found[0], min(len(found[0]), room - len(taken))))


def even_places(
    pairs: Sequence[PreferencePair], chosen_first: Sequence[bool], room: int, rng: random.Random
) -> list[int]:
    """Indexes of at most `room` examples, even in length as above and half of them with the chosen one first.

    The places are even among the longer and among the shorter ones each: else "the first one if it is longer"
    would be a lesson. So each kind is cut to twice its rarer place first.
    """
    cells: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for sign, indexes in _by_length(pairs).items():
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


def _by_length(pairs: Sequence[PreferencePair]) -> dict[int, list[int]]:
    """Indexes of the pairs whose chosen response is longer (1), shorter (-1) or equally long (0)."""
    found: dict[int, list[int]] = {1: [], -1: [], 0: []}
    for index, pair in enumerate(pairs):
        difference = len(pair.chosen) - len(pair.rejected)
        found[(difference > 0) - (difference < 0)].append(index)
    return found
