"""What the reviews say: how far people agree among themselves and with each version, how often it is right.

Between people "both bad" is an answer of its own; beside a model's verdict it is a tie, since neither
response is better. An item's label is what more than half of its reviewers say.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from judge.errors import NotFound
from judge.evaluation import ppi
from judge.evaluation.agreement import Agreement, Figure, Rated, cohen, each_two, krippendorff
from judge.evaluation.anchors import Label, LabeledPair
from judge.evaluation.ppi import Point
from judge.review.items import Answer, Judged, comparison
from judge.store.tables import ReviewItemRow, ReviewRow, ReviewVerdictRow

# Two people with fewer items in common are not compared: such a kappa says nothing.
_FEWEST_IN_COMMON = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """An item with what people (skips left out) and versions have said about it.

    `skips`: how many people looked at it and could not say.
    """

    row: ReviewItemRow
    answers: Mapping[str, Answer]
    judged: Mapping[str, Judged]
    skips: int = 0

    @property
    def undecidable(self) -> bool:
        """Whether people have looked at it, and all of them have skipped it."""
        return self.skips > 0 and not self.answers

    @property
    def label(self) -> Label | None:
        """What more than half of the reviewers say; None without such a majority."""
        said = Counter(as_verdict(answer) for answer in self.answers.values())
        return next((label for label, count in said.items() if 2 * count > len(self.answers)), None)


def as_verdict(answer: Answer) -> Label:
    """A person's answer in the words of a verdict."""
    return answer if answer in ("a", "b") else "tie"


def seen(session: Session, tenant: str, *, source: str | None = None, sample: bool = False) -> list[Seen]:
    """A tenant's items in the order of time; with `sample` only those of the random sample."""
    query = select(ReviewItemRow).where(ReviewItemRow.tenant == tenant)
    if source is not None:
        query = query.where(ReviewItemRow.source == source)
    if sample:
        query = query.where(ReviewItemRow.probability.is_not(None))
    rows = list(session.scalars(query.order_by(ReviewItemRow.created_at, ReviewItemRow.id)))
    chosen = query.with_only_columns(ReviewItemRow.id)
    answers: dict[str, dict[str, Answer]] = {}
    skips: Counter[str] = Counter()
    for review in session.scalars(
        select(ReviewRow)
        .where(ReviewRow.item_id.in_(chosen), ReviewRow.answer.is_not(None))
        .order_by(ReviewRow.reviewer)
    ):
        if review.answer == "skip":
            skips[review.item_id] += 1
            continue
        answers.setdefault(review.item_id, {})[review.reviewer] = review.answer  # type: ignore[assignment]
    judged: dict[str, dict[str, Judged]] = {}
    for one in session.scalars(
        select(ReviewVerdictRow)
        .where(ReviewVerdictRow.item_id.in_(chosen))
        .order_by(ReviewVerdictRow.model_version)
    ):
        value = Judged(one.model_version, one.verdict, one.probability_a)  # type: ignore[arg-type]
        judged.setdefault(one.item_id, {})[one.model_version] = value
    return [Seen(row, answers.get(row.id, {}), judged.get(row.id, {}), skips[row.id]) for row in rows]


def agreement(items: Sequence[Seen]) -> dict[str, Any]:
    """Agreement among people, of every two of them, and of each version with the labels."""
    people = [Rated(item.row.instruction_digest, dict(item.answers)) for item in items if item.answers]
    versions = sorted({version for item in items for version in item.judged})
    return {
        "reviewed": len(people),
        "people": _among(krippendorff(people), "alpha"),
        "reviewers": [
            {"reviewers": list(both), **_among(found, "kappa")}
            for both, found in each_two(people, _FEWEST_IN_COMMON).items()
        ],
        "versions": {
            version: _among(cohen(_beside_labels(items, version), "people", "version"), "kappa")
            for version in versions
        },
    }


def accuracy(items: Sequence[Seen], version: str) -> dict[str, Any]:
    """How often a version says what people say, from labels and all its verdicts (`judge.evaluation.ppi`).

    A version is as right about an item as the share of its reviewers who agree. Its prediction of that is
    its own confidence. `items` must be a random sample. What everybody skipped has no answer to be right
    about: it is left out and counted (`undecidable`). Pairs of one instruction stand or fall together.

    Raises:
        NotFound: the version has said nothing about these items.
        InvalidInput: there are too few labels.
    """
    known = [item for item in items if version in item.judged]
    points = [_point(item, item.judged[version]) for item in known if not item.undecidable]
    if not known:
        raise NotFound(f"version {version!r} has judged no item of the random sample")
    found, alone = ppi.mean(points), ppi.labels_alone(points)
    return {
        "version": version,
        "items": len(points),
        "labeled": sum(point.label is not None for point in points),
        "undecidable": sum(item.undecidable for item in known),
        "accuracy": found.to_json(),
        "labels_alone": alone.to_json(),
        "power": round(found.power, 4),
    }


def as_anchors(items: Iterable[Seen], fewest: int) -> list[LabeledPair]:
    """The items with a label of at least `fewest` reviewers."""
    return [
        LabeledPair(item.row.id, comparison(item.row), item.label)
        for item in items
        if item.label is not None and len(item.answers) >= fewest
    ]


def _beside_labels(items: Iterable[Seen], version: str) -> list[Rated]:
    return [
        Rated(item.row.instruction_digest, {"people": item.label, "version": item.judged[version].verdict})
        for item in items
        if item.label is not None and version in item.judged
    ]


def _point(item: Seen, judged: Judged) -> Point:
    said = [as_verdict(answer) == judged.verdict for answer in item.answers.values()]
    return Point(
        prediction=_confidence(judged),
        label=sum(said) / len(said) if said else None,
        weight=1 / (item.row.probability or 1.0),
        cluster=item.row.instruction_digest,
    )


def _confidence(judged: Judged) -> float:
    """The version's own probability of being right; whatever it is worth, the estimate stays right."""
    if judged.verdict == "invalid":
        return 0.0
    chance = 0.5 if judged.probability_a is None else judged.probability_a
    if judged.verdict == "tie":
        return 1 - abs(2 * chance - 1)
    return chance if judged.verdict == "a" else 1 - chance


def _among(found: Agreement, name: str) -> dict[str, Any]:
    return {"items": found.items, "agreement": _shown(found.share), name: _shown(found.chance_corrected)}


def _shown(figure: Figure | None) -> list[float] | None:
    return figure.to_json() if figure else None
