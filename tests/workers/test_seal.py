"""What a manifest says about a candidate."""

import pytest

from judge.store.tables import EvaluationRow
from workers.seal import HELD_OUT, cascade_threshold


def measured(reasoning, pointwise):
    """Items that were right (1) or wrong (0), by strategy; reasoning is measured on the first few only."""
    return {
        ("candidate", HELD_OUT, how): EvaluationRow(
            items=[{"item": f"pair-{n}", "correct": bool(right)} for n, right in enumerate(rights)]
        )
        for how, rights in (("reasoning", reasoning), ("pointwise", pointwise))
    }


@pytest.mark.parametrize(
    ("reasoning", "direct", "threshold"),
    [
        ([1, 1, 1], [1, 0, 1], 0.75),
        ([1, 0, 1], [1, 0, 1], 0.5),
        ([0, 0, 0], [1, 1, 1], 0.5),
        ([1, 1], [1, 1, 0, 0, 0], 0.5),  # only pairs that both have judged are compared
    ],
)
def test_the_cascade_reasons_only_where_reasoning_was_right_more_often(reasoning, direct, threshold):
    assert cascade_threshold(measured(reasoning, direct), "pointwise") == threshold
