"""What evaluations came to: the figures of each, versions side by side, and the page that shows it.

The same answers and the same seed give the same report; `digest` names its figures. Times, which differ from
run to run, are no part of them.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from judge.benchmarks.catalog import BENCHMARKS
from judge.benchmarks.items import Answered
from judge.benchmarks.measures import Reliability, cost, measures, reliability, timing
from judge.benchmarks.versus import Flip, Versus, common, versus
from judge.plots import Point, curve, reliability_plot

EXAMPLES = 8
_LONGEST = 1500


@dataclass(frozen=True, slots=True)
class Run:
    """What one version answered on one set of items. `origin`: where the version comes from.

    `name`: what the set is called. `mode`: how it was asked. `digest`: of the items, so that runs on the same
    ones are put side by side.
    """

    version: str
    origin: str
    benchmark: str
    name: str
    mode: str
    digest: str
    seed: int
    answered: Sequence[Answered]


def figures(run: Run, seed: int) -> dict[str, Any]:
    """All figures of one run: the benchmark's own scores (`headline` names the first), measures, costs."""
    known = BENCHMARKS[run.benchmark]
    scores = known.score(run.answered, seed)
    found = reliability(run.answered, seed)
    return {
        "items": len(run.answered),
        "headline": next(iter(scores)),
        "scores": {name: mean.estimate(seed).to_json() for name, mean in scores.items()},
        "measures": {name: mean.estimate(seed).to_json() for name, mean in measures(run.answered).items()},
        "calibration": _calibration(found),
        "details": known.details(run.answered, seed) if known.details else None,
        "cost": cost(run.answered),
        "timing": timing(run.answered),
    }


def build(runs: Iterable[Run], seed: int = 0) -> dict[str, Any]:
    """The report as a JSON value: sets with the versions that answered them, in the order given.

    Each version is compared with the first one of its set. `digest` is of everything but the times.
    """
    groups: dict[tuple[str, str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.name, run.benchmark, run.mode, run.digest), []).append(run)
    sets = [_set(own, seed) for own in groups.values()]
    versions = {run.version: run.origin for own in groups.values() for run in own}
    report: dict[str, Any] = {
        "seed": seed,
        "versions": [{"version": version, "origin": origin} for version, origin in versions.items()],
        "sets": sets,
    }
    return {"digest": _digest(report), **report}


def page(report: dict[str, Any]) -> str:
    """The report as one HTML page that needs no network and no script. All texts are escaped."""
    return _template().render(report=report, plots=[_plots(found) for found in report["sets"]], show=_shown)


def table(report: dict[str, Any]) -> str:
    """The report's main figures as a Markdown table: sets in rows, versions in columns."""
    versions = [one["version"] for one in report["versions"]]
    lines = [
        f"| set | mode | n | score | {' | '.join(versions)} | gain | McNemar p |",
        f"|---|---|---|---|{'---|' * len(versions)}---|---|",
    ]
    for found in report["sets"]:
        by_version = {run["version"]: run for run in found["runs"]}
        cells = [
            _shown(by_version[version]["scores"][found["headline"]]) if version in by_version else "–"
            for version in versions
        ]
        last = found["versus"][-1] if found["versus"] else None
        gain = _shown(last["gain"], sign=True) if last else "–"
        p = f"{last['p_different']:.3g}" if last and last["p_different"] is not None else "–"
        row = [found["name"], found["mode"], str(found["items"]), found["headline"], *cells, gain, p]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _set(runs: Sequence[Run], seed: int) -> dict[str, Any]:
    first = runs[0]
    measured = [{"version": run.version, "origin": run.origin, **figures(run, seed)} for run in runs]
    compared = [(run, _versus(first, run, seed)) for run in runs[1:]]
    return {
        "name": first.name,
        "benchmark": first.benchmark,
        "title": BENCHMARKS[first.benchmark].title,
        "mode": first.mode,
        "set_digest": first.digest,
        "items": len(first.answered),
        "headline": measured[0]["headline"],
        "runs": measured,
        "versus": [
            {"before": first.version, "after": run.version, **found.to_json()} for run, found in compared
        ],
        "flips": [
            {"before": first.version, "after": run.version, "examples": _examples(found.flips)}
            for run, found in compared
        ],
    }


def _versus(before: Run, after: Run, seed: int) -> Versus:
    shared = common({"before": before.answered, "after": after.answered})
    score = BENCHMARKS[before.benchmark].score
    old, new = (next(iter(score(shared[name], seed).values())) for name in ("before", "after"))
    return versus(shared["before"], shared["after"], (old, new), seed)


def _examples(flips: Sequence[Flip]) -> list[dict[str, Any]]:
    """The first flips of each kind, losses before gains."""
    kept = [flip for gained in (False, True) for flip in [f for f in flips if f.gained is gained][:EXAMPLES]]
    return [
        {
            "item": flip.after.item.id,
            "gained": flip.gained,
            "label": flip.after.item.label,
            "messages": [
                {"role": turn.role, "content": _cut(turn.content)}
                for turn in flip.after.item.instruction.messages
            ],
            "responses": [_cut(text) for text in flip.after.item.responses],
            "before": _said(flip.before),
            "after": _said(flip.after),
        }
        for flip in kept
    ]


def _said(answered: Answered) -> dict[str, Any]:
    rationale = answered.judged.rationale
    return {
        "verdicts": list(answered.orders),
        "probability_a": answered.judged.probability_a,
        "rationale": _cut(rationale) if rationale else None,
    }


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _calibration(found: Reliability | None) -> dict[str, Any] | None:
    return None if found is None else {**asdict(found), "bins": [asdict(one) for one in found.bins]}


def _digest(report: dict[str, Any]) -> str:
    kept = json.loads(json.dumps(report))
    for found in kept["sets"]:
        for run in found["runs"]:
            del run["timing"]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _plots(found: dict[str, Any]) -> dict[str, Markup | None]:
    """The set's plots as SVG of our own making, whose texts are escaped there."""
    runs = found["runs"]
    points = [
        Point(run["origin"].split(":")[0], score["value"], score["low"], score["high"])
        for run in runs
        for score in (run["scores"][found["headline"]],)
        if score["value"] is not None
    ]
    series = [
        (f"{run['origin']} ({run['version'][:6]})", run["calibration"]["bins"])
        for run in runs
        if run["calibration"]
    ]
    return {
        "curve": Markup(curve(points, found["headline"])),
        "reliability": Markup(reliability_plot(series)) if series else None,
    }


def _shown(value: dict[str, Any] | Sequence[float] | None, *, sign: bool = False) -> str:
    """`.512 [.431, .592]`, or with a sign; a dash for nothing."""
    if value is None:
        return "–"
    if not isinstance(value, dict):
        value = {"value": value[0], "low": value[1], "high": value[2]}
    if value["value"] is None:
        return "–"
    form = "+.3f" if sign else ".3f"
    if value["low"] is None:
        return format(value["value"], form)
    return f"{value['value']:{form}} [{value['low']:{form}}, {value['high']:{form}}]"


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("judge").joinpath("data/report.html.jinja").read_text("utf-8")
    return environment.from_string(source)
