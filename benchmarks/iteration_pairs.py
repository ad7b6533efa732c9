"""The pairs of an iteration, from its database: what was learned, and what versions say of the others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from judge.evaluation.statistics import Outcome, compare, length_balanced
from judge.store.tables import EvaluationRow, ExampleRow, PairRow
from workers.attack import ATTACKS, PHRASES
from workers.seal import FIT, HELD_OUT


def learned(session: Session, number: int) -> str:
    """By strategy: training pairs, those that the pointwise lesson has learned, in how many of these the
    longer response is the chosen one."""
    query = (
        select(PairRow, ExampleRow.id)
        .outerjoin(ExampleRow, (ExampleRow.pair_id == PairRow.id) & (ExampleRow.kind == "pointwise"))
        .where(PairRow.iteration_id == number, ~PairRow.held_out)
    )
    made, taught, longer = Counter[str](), Counter[str](), Counter[str]()
    for pair, example in session.execute(query):
        for name in (pair.strategy, "all"):
            made[name] += 1
            if example is not None:
                taught[name] += 1
                longer[name] += len(pair.chosen) > len(pair.rejected)
    lines = ["| strategy | training pairs | learned | the longer one chosen |", "|---|---|---|---|"]
    for name, count in sorted(made.items(), key=lambda item: (item[0] == "all", item[0])):
        part = f"{longer[name] / taught[name]:.2f}" if taught[name] else ""
        lines.append(f"| {name} | {count} | {taught[name]} | {part} |")
    return "\n".join(lines)


def paired(session: Session, number: int) -> str:
    """Candidate and champion on the same pairs, by the pointwise read: McNemar's exact test, one-sided.

    `turned` and `ties` are shares of the verdicts where ties are allowed: the two versions are for different
    responses, the candidate calls a tie. Held-out pairs, also those that the fit is made on, stand once more
    by the strategy that constructed them, and the anchors all together.
    """
    rows = session.execute(
        select(EvaluationRow.dataset, EvaluationRow.role, EvaluationRow.items).where(
            EvaluationRow.iteration_id == number,
            EvaluationRow.strategy == "pointwise",
            # Attacks have no better response.
            EvaluationRow.dataset.not_in([ATTACKS, PHRASES]),
        )
    )
    found = {(row.dataset, row.role): list(map(Outcome.from_json, row.items)) for row in rows}
    # An iteration measures one version after the other.
    done = {name for name, _ in found if {(name, "champion"), (name, "candidate")} <= set(found)}
    found = {(name, role): outcomes for (name, role), outcomes in found.items() if name in done}
    if not found:
        return "No pairs have been measured with both versions yet."
    pairs = session.scalars(select(PairRow).where(PairRow.iteration_id == number, PairRow.held_out))
    constructed = {pair.item: pair.strategy for pair in pairs}
    for role in ("champion", "candidate"):
        for outcome in (*found.get((HELD_OUT, role), []), *found.get((FIT, role), [])):
            name = f"constructed: {constructed[outcome.item]}"
            found.setdefault((name, role), []).append(outcome)
        anchored = sorted(name for name, of in found if of == role and name.startswith("anchor:"))
        if anchored:
            # An item's name is its own within its set alone.
            found["anchors together", role] = [
                replace(outcome, item=f"{name} {outcome.item}")
                for name in anchored
                for outcome in found[name, role]
            ]
    lines = [
        "| pairs | n | champion | candidate | length-balanced | gained / lost | p | turned | ties |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for dataset in sorted({name for name, _ in found}):
        before, after = found[dataset, "champion"], found[dataset, "candidate"]
        both = compare(before, after, 0.95)
        won = round(both.difference * both.items)
        gained, lost = (both.discordant + won) // 2, (both.discordant - won) // 2
        even = [length_balanced(side) for side in (before, after)]
        ties = sum(outcome.verdicts.count("tie") for outcome in after) / (2 * both.items)
        flips = turned(before, after)
        lines.append(
            f"| {dataset} | {both.items} | {both.champion:.3f} | {both.candidate:.3f} "
            f"| {even[0]:.3f} to {even[1]:.3f} | {gained} / {lost} | {both.p_better:.2g} | {flips:.2f} "
            f"| {ties:.2f} |"
        )
    return "\n".join(lines)


def turned(before: Sequence[Outcome], after: Sequence[Outcome]) -> float:
    """Of the ordered prompts that two versions have judged, the share where they are for different sides."""
    earlier = {outcome.item: outcome.verdicts for outcome in before}
    both = [
        {old, new}
        for outcome in after
        for old, new in zip(earlier[outcome.item], outcome.verdicts, strict=True)
    ]
    return sum(pair == {"a", "b"} for pair in both) / len(both)
