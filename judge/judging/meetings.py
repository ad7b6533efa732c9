"""Who meets whom when responses are ranked, on which item, and how that ended. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from judge.comparison import Comparison, Instruction
from judge.judging.judge import Judge
from judge.judging.ranking import require_connected, schedule
from judge.judging.voting import Decision
from judge.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Item:
    """An instruction and the players' responses by name. `field`: the responses' path in the request."""

    instruction: Instruction
    responses: Mapping[str, str]
    field: str = "responses"

    def path(self, text: str) -> str:
        """The path of the (first) response with this text."""
        return f"{self.field}.{next(name for name, own in self.responses.items() if own == text)}"


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two players on one item: who won (`a` is the first), and the probability of the first."""

    item: int
    one: str
    two: str
    verdict: Verdict
    probability: float


@dataclass(frozen=True, slots=True)
class Pairing:
    """A meeting to come."""

    item: int
    one: str
    two: str
    comparison: Comparison


def systems(items: Sequence[Item]) -> list[str]:
    """The names of all players, sorted."""
    return sorted({name for item in items for name in item.responses})


def require_comparable(items: Sequence[Item]) -> None:
    """Raise `InvalidInput` about `items` where groups of systems share no instruction."""
    names = systems(items)
    number = {name: index for index, name in enumerate(names)}
    shared = [
        (number[one], number[two]) for item in items for one, two in combinations(sorted(item.responses), 2)
    ]
    require_connected(shared, names, field="items")


def schedule_pairings(items: Sequence[Item], seed: int) -> list[Pairing]:
    """Who meets whom on each item. Players stand in the order of their texts: how they came is nothing."""
    found = []
    for number, item in enumerate(items):
        names = sorted(item.responses, key=lambda name: (item.responses[name], name))
        for one, two in schedule(len(names), seed + number):
            texts = item.responses[names[one]], item.responses[names[two]]
            found.append(Pairing(number, names[one], names[two], Comparison(item.instruction, *texts)))
    return found


def to_judge(pairings: Sequence[Pairing]) -> dict[Comparison, int]:
    """The comparisons of different texts, each once, with (one of) its items."""
    return {
        pairing.comparison: pairing.item
        for pairing in pairings
        if pairing.comparison.response_a != pairing.comparison.response_b
    }


def met(pairing: Pairing, decision: Decision | None) -> Meeting:
    """How a meeting ended; equal texts, which nobody judges, tie."""
    verdict: Verdict = decision.verdict if decision else "tie"
    probability = decision.probability_a if decision else None
    if verdict == "tie" or probability is None:
        probability = 0.5
    return Meeting(pairing.item, pairing.one, pairing.two, verdict, probability)


def implied(judge: Judge, rewards: Sequence[Mapping[str, float]]) -> list[Meeting]:
    """What the rewards say about every pair on every item, as the direct mode would from the same reads."""
    calibration = judge.calibration("pointwise")
    meetings = []
    for number, own in enumerate(rewards):
        for one, two in combinations(sorted(own), 2):
            odds = own[one] - own[two]
            verdict = calibration.verdict(odds, allow_tie=True)
            meetings.append(Meeting(number, one, two, verdict, calibration.probability(odds)))
    return meetings
