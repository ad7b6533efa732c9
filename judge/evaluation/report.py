"""What evaluations came to: the figures of each, versions side by side, and the page that shows it.

The same answers and the same seed give the same report; `digest` names its figures. Times, which differ from
run to run, are no part of them. Answers are read when they are needed, so that of however many evaluations no
more than two are in memory.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from judge.evaluation.benchmarks.catalog import BENCHMARKS
from judge.evaluation.benchmarks.items import Answered
from judge.evaluation.benchmarks.measures import Reliability, cost, measures, reliability, timing
from judge.evaluation.benchmarks.versus import Flip, Versus, common, versus
from judge.evaluation.plots import Point, curve, reliability_plot

EXAMPLES = 8
_LONGEST = 1500


@dataclass(frozen=True, slots=True)
class Run:
    """What one version answered on one set of items. `origin`: where the version comes from.

    `name`: what the set is called. `mode`: how it was asked. `digest`: of the items, so that runs on the same
    ones are put side by side. `seed`: of placement and intervals. `load` reads the answers.
    """

    version: str
    origin: str
    benchmark: str
    name: str
    mode: str
    digest: str
    seed: int
    load: Callable[[], Sequence[Answered]]


def figures(run: Run, answered: Sequence[Answered]) -> dict[str, Any]:
    """All figures of one run: the benchmark's own scores (`headline` names the first), measures, costs."""
    known, seed = BENCHMARKS[run.benchmark], run.seed
    scores = known.score(answered, seed)
    found = reliability(answered, seed)
    return {
        "items": len(answered),
        "headline": next(iter(scores)),
        "scores": {name: mean.estimate(seed).to_json() for name, mean in scores.items()},
        "measures": {name: mean.estimate(seed).to_json() for name, mean in measures(answered).items()},
        "calibration": _calibration(found),
        "details": known.details(answered, seed) if known.details else None,
        "cost": cost(answered),
        "timing": timing(answered),
    }


def build(runs: Iterable[Run]) -> dict[str, Any]:
    """The report as a JSON value: sets with the versions that answered them, in the order given.

    A set is the same items, asked in the same manner with the same seed, and has each version once: what one
    version has answered again is in a set of its own. Each version is compared with the first one of its set.
    `digest` is of everything but the times.
    """
    kept = list(runs)
    groups: dict[tuple[str, str, str, str, int, int], list[Run]] = {}
    times: Counter[tuple[object, ...]] = Counter()
    for run in kept:
        asked = (run.name, run.benchmark, run.mode, run.digest, run.seed)
        times[asked, run.version] += 1
        groups.setdefault((*asked, times[asked, run.version]), []).append(run)
    several_seeds = len({run.seed for run in kept}) > 1
    sets = [_set(own, _manner(own[0], again, several_seeds)) for (*_, again), own in groups.items()]
    versions = {run.version: run.origin for run in kept}
    report: dict[str, Any] = {
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


def _manner(run: Run, again: object, several_seeds: bool) -> str:
    """What tells a set from others on the same items."""
    seed = f", seed {run.seed}" if several_seeds else ""
    return f"{run.mode}{seed}{f' ({again})' if again != 1 else ''}"


def _set(runs: Sequence[Run], mode: str) -> dict[str, Any]:
    """One set's figures, with the answers of the first run and of one other in memory at a time."""
    first, before = runs[0], runs[0].load()
    measured, compared, flips = [_measured(first, before)], [], []
    for run in runs[1:]:
        both, after = {"before": first.version, "after": run.version}, run.load()
        measured.append(_measured(run, after))
        found = _versus(first, before, after)
        compared.append({**both, **found.to_json()})
        flips.append({**both, "examples": _examples(found.flips)})
        del after, found
    return {
        "name": first.name,
        "benchmark": first.benchmark,
        "title": BENCHMARKS[first.benchmark].title,
        "mode": mode,
        "seed": first.seed,
        "set_digest": first.digest,
        "items": len(before),
        "headline": measured[0]["headline"],
        "runs": measured,
        "versus": compared,
        "flips": flips,
    }


def _measured(run: Run, answered: Sequence[Answered]) -> dict[str, Any]:
    return {"version": run.version, "origin": run.origin, **figures(run, answered)}


def _versus(first: Run, before: Sequence[Answered], after: Sequence[Answered]) -> Versus:
    shared = common({"before": before, "after": after})
    score, seed = BENCHMARKS[first.benchmark].score, first.seed
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
    source = files("judge.evaluation").joinpath("data/report.html.jinja").read_text("utf-8")
    return environment.from_string(source)
