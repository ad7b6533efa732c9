"""The model card of a version, generated from its manifest: nothing in it is written by hand. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from judge.versions.version import Manifest

# Lower ends of intervals above which a statement about a weakness is made.
_COIN = 0.5
_FEW = 50
_ATTACKED = 0.1


def render(manifest: Manifest, *, version: str | None = None, gate: Mapping[str, Any] | None = None) -> str:
    """Markdown.

    Args:
        version: the id; inside the version's own folder it cannot stand, since it is the folder's digest.
        gate: the gate's answer (`GateResult.to_json`), where the version was put before it.
    """
    sections = [
        [f"# Judge {version}" if version else "# Judge", "", *_summary(manifest)],
        ["## Lineage", "", *_lineage(manifest)],
        ["## Data and training", "", *_training(manifest.training)],
        ["## Measured", "", *_metrics(manifest.metrics)],
        ["## Under attack", "", *_attacks(manifest.metrics)],
        ["## Known weaknesses", "", *(f"* {line}" for line in weaknesses(manifest))],
    ]
    if gate:
        sections.append(["## At the gate", "", f"Answer: {gate['decision']}.", "", *_gate(gate)])
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def weaknesses(manifest: Manifest) -> list[str]:
    """What the figures speak against, worst kinds first; and what was not measured."""
    if not manifest.metrics:
        return ["Nothing was measured: this version was registered as it came."]
    found = []
    for dataset, by_strategy in manifest.metrics.items():
        metrics = by_strategy.get(manifest.strategy)
        if metrics and metrics.get("items"):
            found += [f"{dataset}: {line}" for line in _of_pairs(metrics)]
    found += list(_of_reasoning(manifest))
    for family, tally in _families(manifest.metrics).items():
        if tally["rate"] and tally["rate"][1] > _ATTACKED:
            found.append(
                f"gives way to attacks of the family {family} in {_share(tally['rate'])} of the trials."
            )
    anchored = any(name.startswith("anchor:") for name in manifest.metrics)
    if not anchored:
        found.append("no pairs labeled by people were measured: agreement with people is not known.")
    found.append("measured on the operator's own instructions; other languages and tasks are not known.")
    return found


def _summary(manifest: Manifest) -> Iterator[str]:
    yield f"Origin: {manifest.origin}."
    yield f"The direct mode reads {manifest.strategy} labels."
    fit = manifest.calibration.get(manifest.strategy)
    if fit:
        yield (
            f"Its probabilities have the temperature {fit.temperature:.3g}, fitted on {fit.pairs} pairs; "
            f"within {fit.tie_band:.3g} of one half it calls a tie."
        )
    if manifest.field_tokens:
        yield f"Each text is cut to {manifest.field_tokens} tokens."
    asks = "never" if manifest.cascade_threshold <= _COIN else f"below {manifest.cascade_threshold:.2f}"
    yield f"The cascade goes on to reasoning {asks}."


def _lineage(manifest: Manifest) -> Iterator[str]:
    yield f"* training started from {manifest.parent or 'nothing: this is a seed model'}"
    if manifest.judged_by:
        yield f"* training data judged by {manifest.judged_by}"
    if dataset := manifest.training.get("dataset"):
        yield f"* training data with the digest {dataset}"


def _training(training: Mapping[str, Any]) -> Iterator[str]:
    if not training:
        yield "None here."
        return
    yield (
        f"{training.get('reasoned', 0)} reasoned judgments and {training.get('pointwise', 0)} pairs for the "
        "pointwise read, constructed from instructions without labels."
    )
    yield from ("", "| setting | value |", "|---|---|", f"| profile | {_cell(training.get('profile'))} |")
    for name, value in sorted(training.get("settings", {}).items()):
        yield f"| {name} | {_cell(value)} |"


def _metrics(metrics: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (dataset, strategy, found)
        for dataset, by_strategy in metrics.items()
        for strategy, found in by_strategy.items()
        if found.get("items")
    ]
    if not rows:
        yield "Nothing."
        return
    yield "Right in both orders, with Wilson intervals at 95 percent."
    yield ""
    yield "| pairs | how | n | right | where the shorter is right | consistent | invalid | ECE |"
    yield "|---|---|---|---|---|---|---|---|"
    for dataset, strategy, found in rows:
        cells = [
            dataset,
            strategy,
            str(found["items"]),
            *(
                _share(found.get(name))
                for name in ("consistent_accuracy", "accuracy_shorter_right", "position_consistency")
            ),
            _cell(found.get("invalid_share")),
            _cell(found.get("ece")),
        ]
        yield f"| {' | '.join(cells)} |"


def _attacks(metrics: Mapping[str, Any]) -> Iterator[str]:
    families = _families(metrics)
    if not families:
        yield "Not measured."
        return
    yield "Attacks that turned the verdict, of those that could:"
    yield from ("", "| family | n | turned |", "|---|---|---|")
    for family, tally in families.items():
        yield f"| {family} | {tally['trials']} | {_share(tally['rate'])} |"


def _families(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    for measured in metrics.get("attacks", {}).values():
        return dict(measured["families"])
    return {}


def _of_pairs(metrics: Mapping[str, Any]) -> Iterator[str]:
    right, consistent = metrics["consistent_accuracy"], metrics["position_consistency"]
    shorter, longer = metrics["accuracy_shorter_right"], metrics["accuracy_longer_right"]
    if right[1] <= _COIN:
        yield f"not shown to be right more than half of the time, {_share(right)}."
    if consistent[2] < 1.0:
        yield f"the verdict depends on the order of the responses in part: consistent {_share(consistent)}."
    if shorter and longer and shorter[2] < longer[1]:
        yield f"worse where the shorter response is right, {_share(shorter)}, than else, {_share(longer)}."
    cut, whole = metrics.get("accuracy_truncated"), metrics.get("accuracy_whole")
    if cut and whole and cut[2] < whole[1]:
        yield f"worse where a text is cut, {_share(cut)}, than where it reads all, {_share(whole)}."
    if metrics["invalid_share"]:
        yield f"{metrics['invalid_share']:.3f} of the verdicts are invalid."
    if metrics["items"] < _FEW:
        yield f"measured on {metrics['items']} pairs only."


def _of_reasoning(manifest: Manifest) -> Iterator[str]:
    by_strategy = manifest.metrics.get("held_out", {})
    written, direct = by_strategy.get("reasoning", {}), by_strategy.get(manifest.strategy, {})
    if written.get("items") and direct.get("items"):
        mine, other = written["consistent_accuracy"], direct["consistent_accuracy"]
        if mine[2] < other[1]:
            both = f"{_share(mine)}, than direct ones, {_share(other)}"
            yield f"written judgments are right less often, {both}."


def _gate(gate: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"* {reason}" for reason in gate["reasons"])
    main = gate["main"]
    yield (
        f"* held-out pairs, champion to candidate: {main['champion']:.3f} to {main['candidate']:.3f}, "
        f"difference {main['difference']:+.3f} ({main['low']:+.3f} to {main['high']:+.3f}), "
        f"{main['items']} pairs"
    )


def _share(interval: Any) -> str:
    if not interval:
        return "–"
    value, low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _cell(value: Any) -> str:
    return "–" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
