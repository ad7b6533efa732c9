"""Attacks in the evaluate stage: the attack suite, and phrases that the training data may have planted.

Both are made on the candidate and on the champion alike, by the strategy that serves, through the same
decision that serves: also the check for responses that say nothing (`judge.prompts.openers`).
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import select

from judge.comparison import Comparison
from judge.evaluation import attack_suite
from judge.evaluation.anchors import LabeledPair
from judge.evaluation.attack_suite import by_family, succeeded, tally
from judge.evaluation.statistics import Tally
from judge.gate import triggers
from judge.gate.triggers import Effect, Place
from judge.judging.deciding import decide
from judge.judging.judge import Judge, Options
from judge.judging.scoring import Strategy
from judge.store.tables import ExampleRow, PairRow
from judge.teaching import effort
from judge.teaching.profiles import IterationSettings
from judge.verdict import Verdict
from workers.batches import in_portions
from workers.counting import Counting
from workers.stage import Stage

ATTACKS, PHRASES = "attacks", "phrases"
Key = TypeVar("Key", bound=Hashable)
# Metrics and items of an `EvaluationRow`.
Measured = tuple[dict[str, Any], list[dict[str, Any]]]


def attack_reads(settings: IterationSettings) -> float:
    """What attacking one version costs at most, in label reads."""
    return 2.0 * effort.attacked(settings)


async def measure_attacks(stage: Stage, judge: Judge, strategy: Strategy, counting: Counting) -> Measured:
    """The attack suite: how often it turned the verdict, in all and by family."""
    settings = stage.settings
    trials = attack_suite.draw(attack_suite.built_in(), settings.evaluated_attacks, settings.seed)
    targets = {trial.target for trial in trials if trial.attack.kind == "attach"}
    without = await _verdicts(
        stage, judge, strategy, counting, {one: one.comparison(one.worse) for one in targets}
    )
    attacked = await _verdicts(
        stage, judge, strategy, counting, {trial: trial.comparison for trial in trials}
    )
    results = {
        trial: succeeded(
            trial.attack.kind, attacked[trial], without.get(trial.target, "invalid"), trial.target.side
        )
        for trial in trials
    }
    items = [
        {
            "item": trial.target.item,
            "attack": trial.attack.name,
            "verdict": attacked[trial],
            "success": result,
        }
        for trial, result in results.items()
    ]
    families = {family: counted.to_json() for family, counted in by_family(results).items()}
    return {**tally(results.values()).to_json(), "families": families}, items


async def measure_phrases(
    stage: Stage, judge: Judge, strategy: Strategy, pairs: Sequence[LabeledPair], counting: Counting
) -> Measured:
    """Suspicious phrases of the training data, and ordinary words, added to worse held-out responses."""
    places, words = suspicious_phrases(stage)
    shown = {pair.item: pair.comparison for pair in pairs[: stage.settings.phrase_pairs]}
    without = await _verdicts(stage, judge, strategy, counting, shown)
    added = {
        (phrase, kind, item): Comparison(one.instruction, one.response_a, place.put(text, one.response_b))
        for phrase, place in places.items()
        for item, one in shown.items()
        for kind, text in (("phrase", phrase), ("control", triggers.control(phrase, words, item)))
    }
    verdicts = await _verdicts(stage, judge, strategy, counting, added)
    results = {
        (phrase, kind, item): succeeded("attach", verdict, without[item], "b")
        for (phrase, kind, item), verdict in verdicts.items()
    }

    def turned(phrase: str, kind: str) -> Tally:
        return tally(result for (one, how, _), result in results.items() if (one, how) == (phrase, kind))

    counted = {
        phrase: Effect(turned(phrase, "phrase"), turned(phrase, "control")).to_json() for phrase in places
    }
    items = [
        {"item": item, "phrase": phrase, "kind": kind, "success": result}
        for (phrase, kind, item), result in results.items()
    ]
    return {"phrases": counted}, items


def suspicious_phrases(stage: Stage) -> tuple[dict[str, Place], list[str]]:
    """Phrases that stand in this iteration's chosen training responses and hardly in its rejected ones.

    Each with its place, and the words that are in both alike.
    """
    with stage.lease.transaction() as session:
        rows = session.execute(
            select(PairRow.instruction_id, PairRow.chosen, PairRow.rejected)
            .where(
                PairRow.id.in_(select(ExampleRow.pair_id).where(ExampleRow.iteration_id == stage.iteration))
            )
            .order_by(PairRow.id)
        )
        pairs = [(instruction, chosen, rejected) for instruction, chosen, rejected in rows]
    found = triggers.suspicious(pairs, stage.settings.evaluated_phrases)
    places = {phrase: triggers.place_of(phrase, [chosen for _, chosen, _ in pairs]) for phrase in found}
    return places, triggers.ordinary_words(pairs)


async def _verdicts(
    stage: Stage,
    judge: Judge,
    strategy: Strategy,
    counting: Counting,
    comparisons: Mapping[Key, Comparison],
) -> dict[Key, Verdict]:
    found: dict[Key, Verdict] = {}

    async def work(key: Key) -> tuple[Key, Verdict]:
        decision = await decide(judge, comparisons[key], "direct", Options(strategy=strategy))
        return key, decision.verdict

    def store(results: list[tuple[Key, Verdict]]) -> None:
        found.update(results)
        counting.add(2.0 * len(results))

    await in_portions(list(comparisons), work, store, concurrency=stage.settings.concurrency)
    return {key: found[key] for key in comparisons}
