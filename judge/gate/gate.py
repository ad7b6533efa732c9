"""The gate: whether a candidate may replace the champion. Pure; it sees outcomes, not models.

An item counts as correct only if the judge is right in both orders. The candidate must be better on the
held-out pairs (one-sided exact McNemar test and a bootstrap interval above zero, both at this round's
share of alpha), not behind on those of them whose better response is the shorter one, and on no guard slice
worse than a stated margin (Holm over the slices). Repeated rounds spend alpha as 6/(pi^2 k^2), so that it is
never exceeded in total. Too few items is no decision.

Beside accuracy the candidate must pass the collapse probes (`judge.gate.probes`), be no weaker than the
champion under attack (`judge.evaluation.attack_suite`), obey no phrase of its training data
(`judge.gate.triggers`), and be better than the seed model. These can only refuse, so they add nothing to
the chance of a false promotion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from judge.evaluation.statistics import (
    Difference,
    Outcome,
    Tally,
    compare,
    excess,
    holm,
    p_worse_than,
    share_of_alpha,
)
from judge.gate import triggers
from judge.gate.probes import Probe, accepted_share, probe
from judge.gate.triggers import Effect

GateDecision = Literal["promote", "refuse", "no_decision"]
SHORTER = "held-out pairs where the shorter is right"


@dataclass(frozen=True, slots=True)
class GateSettings:
    """`alpha` over all rounds, `delta` tolerated on guard slices, at `guard_alpha` over all of them."""

    alpha: float
    delta: float
    guard_alpha: float
    min_items: int


Tallies = tuple[Tally, Tally]
Effects = tuple[Effect, Effect]
Paired = tuple[Sequence[Outcome], Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside accuracy. Pairs are of champion and candidate, in this order.

    `seed`: the seed model on the main items, where it is another than the champion. `reasoned`: written
    judgments of both. `accepted`: ordered prompts with a right judgment, of how many. `attacks`: successes of
    the attack suite. `triggers`: what each suspicious phrase does.
    """

    seed: Sequence[Outcome] = ()
    reasoned: Paired = ((), ())
    accepted: tuple[int, int] = (0, 0)
    attacks: Tallies | None = None
    triggers: Mapping[str, Effects] = field(default_factory=dict)


NOTHING_ELSE = Evidence()


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gate's answer and every figure behind it. `seed`: the candidate against the seed model."""

    decision: GateDecision
    reasons: tuple[str, ...]
    main: Difference
    guards: dict[str, Difference]
    alpha: float
    seed: Difference | None = None
    probes: tuple[Probe, ...] = ()
    attacks: Tallies | None = None
    triggers: Mapping[str, Effects] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "decision": self.decision,
            "reasons": list(self.reasons),
            "main": self.main.to_json(),
            "guards": {name: guard.to_json() for name, guard in self.guards.items()},
            "alpha": round(self.alpha, 6),
            "seed": self.seed.to_json() if self.seed else None,
            "probes": {one.name: one.to_json() for one in self.probes},
            "attacks": _both_json(self.attacks) if self.attacks else None,
            "triggers": {phrase: _both_json(both) for phrase, both in self.triggers.items()},
        }


def decide(
    main: Paired,
    guards: Mapping[str, Paired],
    settings: GateSettings,
    round_number: int,
    evidence: Evidence = NOTHING_ELSE,
) -> GateResult:
    """Compare candidate and champion.

    Args:
        main: outcomes of the champion and of the candidate on held-out items.
        guards: the same for each slice that must not get worse.
        settings: see `GateSettings`.
        round_number: how many times this champion line has been tested, this time included.
        evidence: what may refuse beside accuracy.
    """
    alpha = share_of_alpha(settings.alpha, round_number)
    difference = compare(*main, level=1 - 2 * alpha)
    found = GateResult(
        "promote",
        (_passed(difference),),
        main=difference,
        guards={
            name: compare(*pair, level=0.95)
            for name, pair in {SHORTER: where_shorter_is_right(main), **guards}.items()
        },
        alpha=alpha,
        seed=compare(evidence.seed, main[1], level=0.95) if evidence.seed else None,
        probes=_probes(main, evidence),
        attacks=evidence.attacks,
        triggers=evidence.triggers,
    )
    if difference.items < settings.min_items:
        reason = f"{difference.items} held-out items, {settings.min_items} are needed for a decision"
        return replace(found, decision="no_decision", reasons=(reason,))
    reasons = _against(found, settings)
    return replace(found, decision="refuse", reasons=tuple(reasons)) if reasons else found


def where_shorter_is_right(both: Paired) -> Paired:
    """The outcomes on the pairs whose better response is the shorter one."""
    champion, candidate = ([outcome for outcome in side if outcome.shorter_right] for side in both)
    return champion, candidate


def _against(found: GateResult, settings: GateSettings) -> list[str]:
    """Every reason to refuse."""
    main, reasons = found.main, []
    if main.p_better > found.alpha or main.low <= 0:
        reasons.append(
            f"not shown to be better on held-out pairs: {main.champion:.3f} to {main.candidate:.3f}, lower "
            f"bound {main.low:+.3f}, p = {main.p_better:.4f} against alpha = {found.alpha:.4f}"
        )
    if found.seed and found.seed.difference <= 0:
        reasons.append(
            f"no better than the seed model: {found.seed.champion:.3f} to {found.seed.candidate:.3f}"
        )
    judged = {name: guard for name, guard in found.guards.items() if guard.items >= settings.min_items // 2}
    shorter = judged.pop(SHORTER, None)
    # A point, not a test: what is learned from length costs little there at first, and a gain is to be shown
    # to be none of length, not a loss to be one.
    if shorter and shorter.difference < 0:
        reasons.append(
            f"behind where the shorter is right, so it may have learned length: {shorter.champion:.3f} to "
            f"{shorter.candidate:.3f} ({shorter.items} items)"
        )
    p_values = [p_worse_than(guard, settings.delta) for guard in judged.values()]
    for (name, guard), worse in zip(judged.items(), holm(p_values, settings.guard_alpha), strict=True):
        if worse:
            reasons.append(
                f"worse on {name}: {guard.champion:.3f} to {guard.candidate:.3f} "
                f"({guard.items} items, margin {settings.delta})"
            )
    reasons += [one.reason for one in found.probes if one.tripped]
    if found.attacks:
        low, _ = excess(*found.attacks)
        if low > 0:
            reasons.append(f"weaker under attack: {_both(found.attacks)}, lower bound {low:+.3f}")
    for phrase in triggers.obeyed(found.triggers, settings.guard_alpha):
        champion, candidate = found.triggers[phrase]
        reasons.append(
            f"obeys a phrase of its training data, {phrase!r}: it turned the candidate in {candidate}, the "
            f"champion in {champion}"
        )
    return reasons


def _probes(main: Paired, evidence: Evidence) -> tuple[Probe, ...]:
    champion, candidate = main
    by_role: dict[Any, Sequence[Outcome]] = {
        "candidate": candidate, "champion": champion, "seed": evidence.seed
    }  # fmt: skip
    written, wrote = evidence.reasoned
    probes = probe(by_role, {"champion": written, "candidate": wrote})
    return (*probes, accepted_share(*evidence.accepted))


def _passed(main: Difference) -> str:
    return (
        f"better on held-out pairs: {main.champion:.3f} to {main.candidate:.3f}, "
        f"lower bound {main.low:+.3f}, p = {main.p_better:.2g}"
    )


def _both(tallies: Tallies) -> str:
    champion, candidate = tallies
    return (
        f"{champion.successes} of {champion.trials} turned the champion, "
        f"{candidate.successes} of {candidate.trials} the candidate"
    )


def _both_json(both: Tallies | Effects) -> dict[str, Any]:
    champion, candidate = both
    return {"champion": champion.to_json(), "candidate": candidate.to_json()}
