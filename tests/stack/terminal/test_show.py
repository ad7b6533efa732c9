"""Answers as text."""

import io
from datetime import UTC, datetime

from rich.console import Console

from stack.terminal import show


def drawn(table: object) -> str:
    out = io.StringIO()
    Console(file=out, width=140).print(table)
    return out.getvalue()


def difference(champion: float, candidate: float, items: int) -> dict[str, float]:
    change = candidate - champion
    bounds = {"low": change - 0.1, "high": change + 0.1}
    return {"champion": champion, "candidate": candidate, "difference": change, "items": items, **bounds}


def test_a_decision_has_its_orders_and_where_it_comes_from():
    text = "\n".join(
        show.decision(
            {
                "verdict": "a",
                "probability_a": 0.8123,
                "rationale": None,
                "orders": [
                    {"first": "a", "verdict": "a", "probability_a": 0.9},
                    {"first": "b", "verdict": "invalid", "probability_a": None},
                ],
                "votes": {"a": 1, "b": 0},
                "mode": "direct",
                "model_version": "0123456789abcdef",
                "prompt_hash": "abc",
                "latency_ms": 12.6,
            }
        )
    )

    assert "verdict        a" in text
    assert "0.812" in text
    assert "B shown first  invalid, P(A) —" in text
    assert "votes          a 1, b 0" in text
    assert "0123456789abcdef (direct, prompt abc)" in text
    assert "13 ms" in text


def test_an_invalid_verdict_says_why():
    answer = {
        "verdict": "invalid",
        "reason": "orders disagree",
        "model_version": "",
        "mode": "",
        "prompt_hash": "",
    }

    assert (
        next(iter(show.decision({**answer, "latency_ms": 1}))) == "verdict        invalid (orders disagree)"
    )


def test_a_summary_has_the_funnel_the_gate_and_the_outcome():
    lines = list(
        show.summary(
            {
                "status": "promoted",
                "candidate": "0123456789abcdef",
                "error": None,
                "counts": {
                    "finetune": {"lessons": {"loss": 0.123456, "log": [{"step": 1}]}},
                    "select": {"known": 320},
                },
                "funnel": [
                    {"step": "instructions", "came_in": 9, "dropped": {"too_long": 2, "x": 1}, "kept": 6},
                    {"step": "pairs", "came_in": 12, "dropped": {}, "kept": 12},
                ],
                "gate": {
                    "decision": "promote",
                    "reasons": ["better on held-out pairs"],
                    "main": difference(0.5, 0.9, 150),
                    "guards": {"anchor:mt-bench": difference(0.6, 0.55, 60)},
                },
            }
        )
    )

    assert lines == [
        "  select     known 320",
        "  finetune   lessons (loss 0.1235)",
        "  funnel     instructions 9 -> 6 (too_long 2, x 1)",
        "             pairs 12 -> 12",
        "  gate       promote",
        "             better on held-out pairs",
        "             held-out pairs: 0.500 to 0.900, difference +0.400 (+0.300 to +0.500), 150 pairs",
        "             anchor:mt-bench: 0.600 to 0.550, difference -0.050 (-0.150 to +0.050), 60 pairs",
        "  outcome    promoted, candidate 0123456789abcdef",
    ]


def test_a_failed_iteration_shows_its_error():
    assert list(
        show.summary({"status": "failed", "counts": {}, "gate": None, "error": "finetune: no memory"})
    ) == [
        "  error      finetune: no memory",
        "  outcome    failed",
    ]


def test_the_champion_is_marked():
    version = {"origin": "seed: x", "strategy": "pairwise", "created_at": "2026-11-22T04:02:33Z"}
    versions = [{"id": "b" * 16, **version}, {"id": "a" * 16, **version}]

    text = drawn(
        show.models({"champion": "b" * 16, "previous": "a" * 16, "candidate": None, "versions": versions})
    )

    assert f"{'b' * 16}  champion" in text
    assert f"{'a' * 16}  previous" in text
    assert "2026-11-22 04:02" in text


def test_iterations_without_a_gate_yet_have_an_empty_cell():
    row = {"id": 1, "status": "running", "stage": "pair", "profile": "small", "candidate": None, "gate": None}

    text = drawn(show.iterations({"iterations": [{**row, "created_at": "2026-11-22T04:02:33Z"}]}))

    assert "running" in text
    assert "None" not in text


def test_a_pin_that_ran_out_is_told_from_one_that_holds():
    pin = {"tenant": "shop", "version": "0123456789abcdef", "created_by": "ppo"}
    rows = [
        {**pin, "name": f"run-{hour}", "served": hour == 4, "created_at": "2026-11-22T01:00:00Z",
         "expires_at": f"2026-11-22T{hour:02}:30:00Z"}
        for hour in (4, 3)
    ]  # fmt: skip

    lines = drawn(show.pins(rows, datetime(2026, 11, 22, 4, tzinfo=UTC))).splitlines()

    held, lapsed = (" ".join(line.split()) for line in lines[-2:])
    assert held == "shop run-4 0123456789abcdef yes ppo 2026-11-22 01:00 2026-11-22 04:30"
    assert lapsed.endswith("no ppo 2026-11-22 01:00 2026-11-22 03:30 (ran out)")


def test_a_trial_is_told_with_what_turned_and_why_it_ended():
    tally = {"successes": 3, "trials": 12, "rate": [0.25, 0.089, 0.532]}
    answer = {
        "mode": "canary",
        "status": "refused",
        "candidate": "0123456789abcdef",
        "champion": "fedcba9876543210",
        "decisions": 12,
        "wanted": 200,
        "outcome": "refused",
        "reason": "ties: 9 of 12, at most 0.3 are tolerated",
        "flips": tally,
        "invalid": {"successes": 0, "trials": 0, "rate": None},
        "ties": tally,
        "moved": 0.12,
        "champion_ms": 10.4,
        "candidate_ms": 22.6,
        "verdicts": {"a": {"tie": 9, "b": 3}},
    }

    text = "\n".join(show.trial(answer))

    assert "canary of 0123456789abcdef beside fedcba9876543210: refused" in text
    assert "12 of 200, refused: ties: 9 of 12" in text
    assert "turned       3 of 12, 0.250 (0.089 to 0.532)" in text
    assert "no verdict   0 of 0\n" in text
    assert "10 ms, candidate 23 ms" in text
    assert "champion a        candidate b 3, tie 9" in text
