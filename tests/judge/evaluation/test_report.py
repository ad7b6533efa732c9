"""The report: what it says, that it says it again, and that nothing in it runs."""

import gc
import json
import weakref
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from judge.comparison import Instruction
from judge.evaluation.benchmarks.items import Answered, Item, Judged
from judge.evaluation.plots import Point, curve, reliability_plot
from judge.evaluation.report import Run, build, figures, page, table

EVIL = "</div><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} & <b>"


def answered(number, right, *, evil="", seconds=0.1):
    """An item of which A is better; the judge is sure of what it says."""
    item = Item(
        f"item {number}{evil}", "s", Instruction.of(f"Question {number} {evil}"), (f"good {evil}", "bad"), "a"
    )
    verdict, probability = ("a", 0.9) if right else ("b", 0.2)
    return Answered(
        item,
        Judged(
            item.id,
            (verdict, verdict),
            verdict,
            probability,
            (),
            100,
            2,
            seconds,
            rationale=f"Because. {evil}",
        ),
    )


def run(version, rights, *, evil="", origin="seed", name="mine", seconds=0.1, mode="direct", seed=0):
    answers = [answered(number, right, evil=evil, seconds=seconds) for number, right in enumerate(rights)]
    return Run(version, origin + evil, "pairs", name, mode, f"digest of {name}", seed, lambda: answers)


BEFORE = [n % 2 == 0 for n in range(40)]
AFTER = [n % 2 == 0 or n % 3 == 0 for n in range(40)]


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        assert not [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    tags = Tags()
    tags.feed(html)
    return tags


def test_versions_are_put_side_by_side_with_their_difference():
    report = build([run("a" * 16, BEFORE), run("b" * 16, AFTER, origin="iteration 1")])

    (found,) = report["sets"]
    assert [one["version"] for one in found["runs"]] == ["a" * 16, "b" * 16]
    assert [one["scores"][found["headline"]]["value"] for one in found["runs"]] == [0.5, 0.675]
    (versus,) = found["versus"]
    assert (versus["gained"], versus["lost"], versus["items"]) == (7, 0, 40)
    assert versus["gain"]["value"] == 0.175
    assert versus["gain"]["low"] > 0
    assert versus["p_different"] == pytest.approx(2 / 2**7, rel=1e-3)
    assert len(found["flips"][0]["examples"]) == 7
    assert "| mine | direct | 40 | right in both orders | 0.500 [" in table(report)


def test_the_same_answers_give_the_same_report_whatever_time_they_took():
    quick = build([run("a" * 16, BEFORE, seed=3), run("b" * 16, AFTER, seed=3)])
    slow = build([run("a" * 16, BEFORE, seconds=9.0, seed=3), run("b" * 16, AFTER, seed=3)])

    assert quick["digest"] == slow["digest"]
    assert quick["sets"][0]["runs"][0]["timing"] != slow["sets"][0]["runs"][0]["timing"]
    assert page(quick) == page(build([run("a" * 16, BEFORE, seed=3), run("b" * 16, AFTER, seed=3)]))
    other = build([run("a" * 16, BEFORE, seed=4), run("b" * 16, AFTER, seed=4)])
    assert other["digest"] != quick["digest"]


def test_modes_and_sets_are_kept_apart():
    report = build(
        [
            run("a" * 16, BEFORE),
            run("a" * 16, BEFORE, mode="reasoning"),
            run("a" * 16, BEFORE[:9], name="other"),
        ]
    )

    assert [(one["name"], one["mode"], len(one["runs"])) for one in report["sets"]] == [
        ("mine", "direct", 1), ("mine", "reasoning", 1), ("other", "direct", 1),
    ]  # fmt: skip


def test_what_one_version_answered_twice_is_kept_apart():
    version, other = "a" * 16, "b" * 16
    report = build(
        [
            run(version, BEFORE), run(other, AFTER), run(version, AFTER, seed=5),
            run(version, AFTER), run(other, BEFORE, seed=5),
        ]
    )  # fmt: skip

    assert [(one["mode"], [own["version"][0] for own in one["runs"]]) for one in report["sets"]] == [
        ("direct, seed 0", ["a", "b"]), ("direct, seed 5", ["a", "b"]), ("direct, seed 0 (2)", ["a"]),
    ]  # fmt: skip
    assert [line.split("|")[2].strip() for line in table(report).splitlines()[2:]] == [
        "direct, seed 0", "direct, seed 5", "direct, seed 0 (2)",
    ]  # fmt: skip
    assert "direct, seed 0 (2)" in page(report)


def test_placement_and_intervals_are_by_the_evaluations_own_seed():
    """RewardBench shows one order, which the seed places: the score is that of the evaluation itself."""
    item = [
        Item(f"i{n}", "hep-go", Instruction.of(f"Q{n}"), ("good", "bad"), "a", facts={"count": 1})
        for n in range(64)
    ]
    answers = [Answered(one, Judged(one.id, ("a", "b"), "tie", 0.5)) for one in item]
    one = Run("a" * 16, "seed", "rewardbench", "mine", "direct", "digest", 7, lambda: answers)
    assert figures(replace(one, seed=0), answers)["scores"] != figures(one, answers)["scores"]

    (found,) = build([one])["sets"]

    assert found["runs"][0]["scores"] == figures(one, answers)["scores"]


def test_of_many_evaluations_no_more_than_two_are_read_at_a_time():
    alive = weakref.WeakSet()
    most = 0

    class Answers(list):
        __hash__ = object.__hash__

    def load(right):
        nonlocal most
        gc.collect()
        made = Answers(answered(number, right) for number in range(6))
        alive.add(made)
        most = max(most, len(alive))
        return made

    runs = [
        Run(f"{n:016}", "seed", "pairs", f"set {n % 2}", "direct", f"{n % 2}", 0, partial(load, n % 3 == 0))
        for n in range(12)
    ]

    assert len(build(runs)["sets"]) == 2
    assert most == 2


def test_texts_from_outside_stay_texts():
    report = build([run("a" * 16, BEFORE, evil=EVIL), run("b" * 16, AFTER, evil=EVIL)])

    html = page(report)

    seen = parsed(html)
    assert not {"script", "img", "iframe", "b", "object"} & set(seen.tags)
    assert EVIL in "".join(seen.text)
    assert "default-src 'none'" in html
    assert all(link.startswith("#") for link in seen.links)


def test_the_page_needs_nothing_from_elsewhere():
    html = page(build([run("a" * 16, BEFORE), run("b" * 16, AFTER)]))

    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert html.count("<svg") == 2
    json.dumps(build([run("a" * 16, BEFORE)]), allow_nan=False)


def test_figures_of_one_run_hold_scores_measures_calibration_and_costs():
    one = run("a" * 16, BEFORE)

    found = figures(one, one.load())

    assert found["items"] == 40
    assert found["headline"] in found["scores"]
    assert found["measures"]["right, winner first"]["value"] == 0.5
    # Sure of 90% and right, or of 80% and wrong.
    assert found["calibration"]["ece"][0] == pytest.approx((0.1 + 0.8) / 2)
    assert found["cost"]["tokens_per_item"] == 102.0


def test_plots_are_well_formed_whatever_the_labels():
    bins = [{"items": 3, "confidence": 0.6, "right": 0.4}, {"items": 9, "confidence": 0.95, "right": 1.0}]

    for svg in (
        curve([Point(EVIL, 0.5, 0.4, 0.6), Point("second", 0.7, None, None)], EVIL),
        curve([Point("alone", 0.0, 0.0, 0.0)], "score"),
        reliability_plot([(EVIL, bins), ("other", bins)]),
    ):
        tree = ElementTree.fromstring(svg)
        assert tree.tag == "svg"
        assert {element.tag for element in tree.iter()} <= {"svg", "line", "text", "circle", "polyline"}
        xs = [float(circle.get("cx")) for circle in tree.iter("circle")]
        assert all(0 <= x <= 420 for x in xs)
