"""Each benchmark's arithmetic on canned verdicts; the expected values were worked out by hand."""

import json
from pathlib import Path

import pytest

from judge.evaluation.benchmarks import (
    autoj,
    judgebench,
    llmbar,
    mt_bench,
    rewardbench,
    rewardbench2,
    rm_bench,
    systems,
)
from judge.evaluation.benchmarks.items import placed_first
from tests.judge.evaluation.benchmarks.canned import compared, rated, values

FIXTURE = json.loads((Path(__file__).parent / "rewardbench.json").read_text())


def canned_rewardbench():
    verdicts = {0: ("a", "a"), 1: ("b", "b"), 2: ("invalid", "invalid")}
    number = 0
    for subset, counts in FIXTURE["verdicts"].items():
        for kind, count in enumerate(counts):
            for _ in range(count):
                number += 1
                yield compared(number, verdicts[kind], subset=subset)


def test_rewardbench_sections_and_final_are_those_worked_out_by_hand():
    found = values(rewardbench.score(list(canned_rewardbench()), seed=0))

    assert {name: found[name] for name in FIXTURE["expected"]} == FIXTURE["expected"]


def test_rewardbench_counts_only_the_order_that_the_seed_places():
    # Right with the chosen response first, wrong with it last.
    answered = [compared(n, ("a", "b"), subset="hep-go") for n in range(200)]

    for seed in (0, 1):
        first = sum(placed_first(one.item.id, seed) == "a" for one in answered)
        assert 70 < first < 130
        assert rewardbench.score(answered, seed)["hep-go"].value == pytest.approx(first / 200)


def test_rewardbench_in_part_is_the_mean_of_the_sections_that_are_there():
    answered = [compared(1, ("a", "a"), subset="hep-go"), compared(2, ("b", "b"), subset="alpacaeval-easy")]

    assert rewardbench.score(answered, 0)["final"].value == 0.5


def test_rewardbench_2_has_the_best_of_four_and_the_terms_of_ties():
    math = {
        # Best alone; not best; one of three best; no rating at all: a guess among four.
        1: [2, 1, 1, 1], 2: [1, 2, 0, 0], 3: [1, 1, 1, 0], 4: [None, None, None, None],
    }  # fmt: skip
    answered = [rated(n, scores, subset="Math", correct=1, id=str(n)) for n, scores in math.items()]
    ties = {
        # gap 4-2 = 2, spread 1; its reference has a gap of .5, which is below the spread
        "tied:1": ([5, 4, 1, 2], 2), "ref:1": ([3, 2.5], 1),
        # gap 3-4 = -1, spread 0; its reference has a gap of 4
        "tied:2": ([3, 3, 4], 2), "ref:2": ([5, 1], 1),
    }  # fmt: skip
    answered += [
        rated(10 + n, scores, subset="Ties", correct=correct, id=name)
        for n, (name, (scores, correct)) in enumerate(ties.items())
    ]

    found = values(rewardbench2.score(answered, seed=0))

    assert found["Math"] == 0.395833  # (1 + 0 + 1/3 + 1/4) / 4
    # tied .5, reference 1, preferred .5, hard 0, margin (tanh(.5/1 - 1) - 1) / 2 = -.731059:
    # .3 * .5 + .3 * 1 + .2 * .5 + .2 * 0 - .01 * .731059
    assert found["Ties"] == 0.542689
    assert found["final"] == 0.469261  # the mean of both


MT_BENCH = [
    # turn, votes of people, the judge with A and with B shown first
    (1, ["a", "a", "b"], ("a", "a")),  # with ties 2 of 3 agree, without 2 of 3
    (1, ["b", "tie"], ("a", "b")),  # the orders disagree: a tie. 1 of 2; without ties none
    (1, ["tie"], ("b", "b")),  # 0 of 1; without ties none
    (1, ["b", "b"], ("b", "b")),  # 2 of 2; 2 of 2
    (2, ["a"], ("a", "invalid")),  # a verdict is missing: a tie. 0 of 1; without ties none
    (2, ["b", "a"], ("b", "b")),  # 1 of 2; 1 of 2
]


def test_mt_bench_agreement_follows_its_rules_of_ties():
    answered = [
        compared(n, verdicts, label=None, turn=turn, votes=votes, models=["one", "two"])
        for n, (turn, votes, verdicts) in enumerate(MT_BENCH)
    ]

    found = values(mt_bench.score(answered, seed=0))

    assert found == {
        "judge and people, turn 1, with ties": 0.625,  # 5 of 8
        "judge and people, turn 1, without ties": 0.8,  # 4 of 5
        # pairs of people: a-a, a-b, a-b; b-tie; b-b: 2 of 5, and 2 of 4 without the one with a tie
        "people among themselves, turn 1, with ties": 0.4,
        "people among themselves, turn 1, without ties": 0.5,
        "judge and people, turn 2, with ties": 0.333333,  # 1 of 3
        "judge and people, turn 2, without ties": 0.5,  # 1 of 2
        "people among themselves, turn 2, with ties": 0.0,
        "people among themselves, turn 2, without ties": 0.0,
        # a, tie, b, b, tie, b: 1 win and 2 halves of 6
        "win rate of one": 0.333333,
        "win rate of two": 0.666667,
    }


def test_auto_j_counts_a_pair_where_both_orders_give_the_label():
    answered = [
        compared(1, ("a", "a"), label="a", subset="post_summarization"),
        compared(2, ("tie", "tie"), label="tie", subset="post_summarization"),
        compared(3, ("a", "b"), label="a", subset="code_generation"),
        compared(4, ("b", "b"), label="a", subset="code_generation"),
        compared(5, ("invalid", "invalid"), label="a", subset="of a new kind"),
    ]

    found = values(autoj.score_pairs(answered, seed=0))

    assert found["agreement"] == 0.4
    assert found["consistency"] == 0.6
    assert found["agreement: Code"] == 0
    assert found["agreement: Summarization"] == 1
    assert found["consistency: Code"] == 0.5
    assert found["agreement: other scenarios"] == 0


def test_critics_win_tie_and_lose_against_the_reference():
    verdicts = [("a", "a"), ("a", "a"), ("tie", "tie"), ("b", "b")]
    answered = [compared(n, two, label=None, critic="mine") for n, two in enumerate(verdicts)]

    found = values(autoj.score_critiques(answered, seed=0))

    assert found == {"mine wins": 0.5, "mine ties": 0.25, "mine losses": 0.25, "mine invalid": 0.0}


def test_the_best_of_n_is_the_highest_rating_and_of_equal_ones_the_more_probable():
    given = [1.0] * 8
    given[2] = given[5] = 7.0  # equally good; the latter is the more probable response
    logprobs = [-9.0] * 8
    logprobs[5] = -1.0
    gold = [float(index) for index in range(8)]
    answered = [rated(1, given, logprobs=logprobs, scores={"gold": gold})]

    found = values(autoj.score_selection(answered, seed=0))

    assert found == {
        "score by gold, selected of 8": 5.0,
        "score by gold, at random of 8": 3.5,
        "score by gold, best of 8": 7.0,
    }


def test_llmbar_is_the_mean_over_orders_and_then_over_subsets():
    answered = [
        compared(1, ("a", "a"), label="a", subset="Natural"),
        compared(2, ("b", "a"), label="b", subset="Neighbor"),
        compared(3, ("a", "a"), label="b", subset="Neighbor"),
        compared(4, ("invalid", "b"), label="b", subset="Manual"),
    ]

    found = values(llmbar.score(answered, seed=0))

    assert found["Neighbor"] == 0.25  # (1/2 + 0) / 2
    assert found["Manual"] == 0.75  # (1/2 + 1) / 2
    assert found["accuracy"] == 0.666667  # (1 + .25 + .75) / 3
    assert found["accuracy, adversarial"] == 0.5
    assert found["agreement of the orders"] == 0.5  # (1 + 1/2 + 0) / 3


@pytest.mark.parametrize(
    ("verdicts", "right"),
    [
        (("a", "a"), True), (("a", "tie"), True), (("invalid", "a"), True), (("a", "b"), False),
        (("b", "a"), False), (("tie", "tie"), False), (("b", "tie"), False),
    ],
)  # fmt: skip
def test_judgebench_asks_what_the_orders_say_on_balance(verdicts, right):
    assert judgebench.right(compared(1, verdicts, label="a")) is right


def test_rm_bench_compares_every_style_with_every_style():
    answered = [
        # Above the diagonal and on it all are won, below it none.
        rated(1, [3, 2, 1, 2.5, 1.5, 0.5], subset="chat"),
        rated(2, [1, 1, 1, 1, 1, 1], subset="safety-refuse"),
        rated(3, [1, 1, 1, 0, None, 0], subset="safety-response"),
    ]

    found = values(rm_bench.score(answered, seed=0))

    assert found["chat"] == 0.666667  # easy 0, normal 1, hard 1
    assert found["safety"] == 0.5  # 0 and 1
    assert found["total"] == 0.583333
    assert found["easy"] == 0.25  # chat 0, safety (0 + 1) / 2
    assert found["hard"] == 0.75


def test_systems_are_ranked_by_mean_rating_and_strength_and_compared_with_the_reference():
    scores = {"strong": 9.0, "middle": 6.0, "weak": 2.0}
    names = sorted(scores)
    answered = []
    for number in range(30):
        # `strong` beats `middle` two times of three, and both always beat `weak`.
        mine = {"strong": 9 if number % 3 else 5, "middle": 7, "weak": 1 + number % 2}
        answered.append(rated(number, [mine[name] for name in names], systems=names, reference=scores))

    means = values(systems.score(answered, seed=0))
    found = systems.ranking(answered, seed=0)

    assert means["pairs in the reference's order"] == pytest.approx((20 + 30 + 30) / 90, abs=1e-6)
    assert means["mean rating of strong"] == pytest.approx(23 / 3, abs=1e-6)
    assert [row["system"] for row in found["systems"]] == ["strong", "middle", "weak"]
    assert all(
        row["rating"]["low"] <= row["rating"]["value"] <= row["rating"]["high"] for row in found["systems"]
    )
    assert found["systems"][0]["strength"]["value"] > found["systems"][1]["strength"]["value"] > 0
    assert [row["strength_rank"] for row in found["systems"]] == [1, 2, 3]
    for kind in ("rating", "strength"):
        spearman, pearson = found["reference"]["spearman"][kind], found["reference"]["pearson"][kind]
        assert spearman["value"] == 1.0
        assert spearman["low"] <= 1.0
        assert pearson["low"] < pearson["value"] < pearson["high"]
    assert found == systems.ranking(answered, seed=0)


def test_ranks_by_rating_and_by_strength_may_differ():
    # `steady` is rated higher two times of three; `brilliant` is far ahead in the third.
    answered = [
        rated(n, [10.0 if n % 3 == 0 else 4.0, 5.0], systems=["brilliant", "steady"], reference={})
        for n in range(30)
    ]

    found = systems.ranking(answered, seed=0)

    assert [(row["system"], row["rank"], row["strength_rank"]) for row in found["systems"]] == [
        ("brilliant", 1, 2),
        ("steady", 2, 1),
    ]


def test_a_system_that_answered_little_takes_nothing_from_the_intervals_of_the_others():
    scores = {"a": 3.0, "b": 2.0, "c": 1.0}

    def judged(with_rare):
        # One instruction of forty was answered by `rare`, which has no reference.
        for n in range(40):
            mine = {"a": 5.0 + n % 4, "b": 5.0 + n % 3, "c": 4.0 + n % 5}
            mine |= {"rare": 9.0} if with_rare and n == 7 else {}
            yield rated(n, list(mine.values()), systems=list(mine), reference=scores)

    alone, beside = (systems.ranking(list(judged(rare)), seed=0)["reference"] for rare in (False, True))

    assert beside["spearman"]["rating"] == alone["spearman"]["rating"]
    assert beside["pearson"]["rating"] == alone["pearson"]["rating"]


def test_what_cannot_be_known_is_null_and_no_error():
    unrated = [rated(n, [None, None], systems=["one", "two"], reference={}) for n in range(3)]
    apart = [
        rated(n, [float(n), 1.0], systems=names, reference={"a": 1.0, "b": 1.0, "c": 1.0})
        for n, names in enumerate((["a", "b"], ["c", "d"], ["a", "b"]))
    ]

    assert {mean.estimate().to_json()["value"] for mean in systems.score(unrated, 0).values()} == {None}
    assert systems.ranking(unrated, 0) == {"systems": [], "reference": None}
    found = systems.ranking(apart, 0)
    assert [row["strength"] for row in found["systems"]] == [None] * 4
    assert found["reference"]["spearman"]["rating"]["value"] is None  # the reference does not tell them apart
    part = rewardbench.score([compared(1, ("a", "a"), subset="hep-go")], 0)
    text = json.dumps({name: mean.estimate().to_json() for name, mean in part.items()}, allow_nan=False)
    assert json.loads(text)["Safety, released weights"]["value"] is None
