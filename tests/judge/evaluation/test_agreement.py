"""Agreement: the figures of reference libraries and published examples; intervals that cover the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from judge.evaluation.agreement import Rated, cohen, each_two, krippendorff

ANSWERS = ("a", "b", "tie", "both_bad")


def rated(*raters: str) -> list[Rated]:
    """One string a rater, one character an item; a dot is no answer."""
    items = []
    for number, answers in enumerate(zip(*raters, strict=True)):
        given = {f"rater {n}": answer for n, answer in enumerate(answers) if answer != "."}
        items.append(Rated(str(number), given))
    return items


# K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011: sections A, B, C (nominal).
@pytest.mark.parametrize(
    ("raters", "alpha"),
    [
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbccceddd"), 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    ],
)
def test_alpha_is_that_of_the_published_examples(raters, alpha):
    found = krippendorff(rated(*raters)).chance_corrected

    assert found is not None
    assert round(found.value, 3) == alpha


@settings(deadline=None, max_examples=30)  # a bootstrap each
@given(st.lists(st.tuples(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS)), min_size=2, max_size=60))
def test_kappa_is_that_of_scikit_learn(pairs):
    items = [Rated(str(n), {"x": one, "y": other}) for n, (one, other) in enumerate(pairs)]
    expected = cohen_kappa_score(*zip(*pairs, strict=True)) if len(set(sum(pairs, ()))) > 1 else None

    found = cohen(items, "x", "y")

    if expected is None:
        assert found.chance_corrected is None
    else:
        assert found.chance_corrected.value == pytest.approx(expected, abs=1e-9)
    assert found.share.value == pytest.approx(np.mean([one == other for one, other in pairs]))


@settings(deadline=None, max_examples=30)  # a bootstrap each
@given(
    st.integers(2, 5).flatmap(
        lambda raters: st.lists(
            st.lists(st.sampled_from(ANSWERS), min_size=raters, max_size=raters), min_size=3, max_size=40
        )
    )
)
def test_alpha_without_gaps_is_fleiss_kappa_of_statsmodels_corrected_for_the_sample(rows):
    items = [Rated(str(n), {str(r): answer for r, answer in enumerate(row)}) for n, row in enumerate(rows)]
    if len({answer for row in rows for answer in row}) == 1:
        assert krippendorff(items).chance_corrected is None
        return
    fleiss = fleiss_kappa(aggregate_raters(np.array(rows))[0])
    total = len(rows) * len(rows[0])

    # Expected disagreement is counted without replacement in alpha and with it in Fleiss' kappa.
    assert krippendorff(items).chance_corrected.value == pytest.approx(
        1 - (1 - fleiss) * (total - 1) / total, abs=1e-9
    )


GAPS = st.lists(st.lists(st.sampled_from((*ANSWERS, None)), min_size=4, max_size=4), min_size=4, max_size=40)


@settings(deadline=None, max_examples=30)  # a bootstrap each
@given(GAPS)
def test_alpha_with_missing_answers_is_that_of_the_library(rows):
    library = pytest.importorskip("krippendorff")
    items = [
        Rated(str(n), {str(r): answer for r, answer in enumerate(row) if answer})
        for n, row in enumerate(rows)
    ]
    compared = {answer for item in items if len(item.answers) > 1 for answer in item.answers.values()}
    if len(compared) < 2:
        assert krippendorff(items).chance_corrected is None
        return
    numbers = np.array([[ANSWERS.index(a) if a else np.nan for a in row] for row in rows]).T

    expected = library.alpha(numbers, level_of_measurement="nominal", value_domain=range(len(ANSWERS)))

    assert krippendorff(items).chance_corrected.value == pytest.approx(expected, abs=1e-9)


def test_alpha_with_missing_answers_is_that_of_the_coincidences_counted_by_hand():
    # Four people; what one of them alone has answered (item 4) pairs with nothing.
    items = rated("aab.b", "aab..", "abb..", ".bb..")
    # Coincidences: item 0 has 3 answers a: aa 3. Item 1, aabb: aa 2/3, bb 2/3, ab and ba 4/3 each.
    # Item 2, bbbb: bb 4; item 3 has none. Marginals: a 3 + 2/3 + 4/3 = 5, b 2/3 + 4 + 4/3 = 6, total 11.
    observed, expected = (2 * 4 / 3) / 11, 2 * 5 * 6 / (11 * 10)

    found = krippendorff(items)

    assert found.items == 3
    assert found.chance_corrected.value == pytest.approx(1 - observed / expected)


def test_items_that_only_one_has_answered_do_not_count():
    items = [*rated("ab", "ab"), Rated("2", {"rater 0": "b"}), Rated("3", {})]

    assert krippendorff(items) == krippendorff(items[:2])
    assert krippendorff(items).items == 2


def test_without_common_items_there_is_no_figure():
    items = [Rated("1", {"x": "a"}), Rated("2", {"y": "a"})]

    found = cohen(items, "x", "y")

    assert (found.items, found.share, found.chance_corrected) == (0, None, None)
    assert krippendorff(items).share is None


def test_every_two_raters_with_enough_in_common_are_compared():
    items = rated("abab.", "abba.", "...ab")

    found = each_two(items, fewest=2)

    assert list(found) == [("rater 0", "rater 1")]
    assert found["rater 0", "rater 1"].share.value == 0.5


def test_an_instruction_with_many_pairs_counts_as_one_in_the_interval():
    rng = np.random.default_rng(1)
    answers = [("a", "a" if rng.random() < 0.7 else "b") for _ in range(40)]
    alone = [Rated(str(n), {"x": x, "y": y}) for n, (x, y) in enumerate(answers)]
    repeated = [Rated(str(n // 10), {"x": x, "y": y}) for n, (x, y) in enumerate(answers * 10)]
    copied = [Rated(str(n // 10), alone[n // 10].answers) for n in range(400)]

    first, last = cohen(alone, "x", "y").share, cohen(copied, "x", "y").share

    assert (last.low, last.high) == (first.low, first.high)
    assert cohen(repeated, "x", "y").share.value == first.value


def test_intervals_of_kappa_cover_the_truth():
    covered, rng = 0, np.random.default_rng(7)
    right = np.array([[0.35, 0.1], [0.15, 0.4]])  # of joint answers: kappa (0.75 - 0.5) / (1 - 0.5)
    for seed in range(200):
        cells = rng.choice(4, size=150, p=right.ravel())
        items = [Rated(str(n), {"x": "ab"[cell // 2], "y": "ab"[cell % 2]}) for n, cell in enumerate(cells)]
        kappa = cohen(items, "x", "y", seed=seed).chance_corrected
        covered += kappa.low <= 0.5 <= kappa.high

    assert 0.90 <= covered / 200 <= 0.99
