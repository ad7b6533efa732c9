"""Reviews as lines of JSON, in and out: pairs with a label, and with `meta` for who said what.

    {"id", "source", "messages" | "instruction", "response_a", "response_b", "label",
     "meta": {"answers": [{"reviewer", "answer"}], "verdicts": {VERSION: {"verdict", "probability_a"}},
              "probability": 0.1}}

What is written can be read again. A pair without `meta` is one that people have yet to judge.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from judge.comparison import flaw
from judge.errors import Fault, InvalidInput
from judge.evaluation import anchors
from judge.evaluation.anchors import Label
from judge.review.figures import Seen
from judge.review.items import LIVE, Answer, Judged, Offer, chance
from judge.verdict import Verdict


def parse(lines: Iterable[str], source: str, share: float, reviewer: str | None = None) -> list[Offer]:
    """Read pairs for the queue.

    Args:
        share: of the pairs are drawn for the random sample, the same ones each time.
        reviewer: whose answers the labels of pairs without `meta.answers` are; None: labels are ignored.

    Raises:
        InvalidInput: naming every line that cannot be read; nothing is returned then.
    """
    if source == LIVE:
        raise InvalidInput(Fault("source", f"{LIVE!r} stands for live decisions; choose another name"))
    offers, faults = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            offers.append(_parse(json.loads(line), source, share, reviewer))
        except InvalidInput as error:
            faults += [Fault(f"line {number}: {fault.field}", fault.reason) for fault in error.faults]
        except (ValueError, RecursionError) as error:
            faults.append(Fault(f"line {number}", f"not JSON: {error}"))
    if not offers and not faults:
        raise InvalidInput(Fault("body", "no pairs; expected one JSON object a line"))
    if faults:
        raise InvalidInput(*faults[:50])
    return offers


def lines(items: Iterable[Seen], *, undecided: bool = False) -> Iterator[str]:
    """The items that have a label, or with `undecided` all that anybody has judged, one line each."""
    for item in items:
        if item.label is not None or (undecided and item.answers):
            yield json.dumps(_row(item), ensure_ascii=False) + "\n"


def _row(item: Seen) -> dict[str, Any]:
    row = item.row
    return {
        "id": row.name or row.id,
        "source": row.source,
        "messages": row.messages,
        "response_a": row.response_a,
        "response_b": row.response_b,
        "label": item.label,
        "meta": {
            "answers": [{"reviewer": name, "answer": said} for name, said in item.answers.items()],
            "verdicts": {
                version: {"verdict": one.verdict, "probability_a": one.probability_a}
                for version, one in item.judged.items()
            },
            "probability": row.probability,
        },
    }


def _parse(row: Any, source: str, share: float, reviewer: str | None) -> Offer:
    comparison = anchors.read_comparison(row)
    meta = _object(row.get("meta"), "meta")
    digest = anchors.content_digest(comparison)
    drawn = share if chance(f"review sample {source}", digest) < share else None
    return Offer(
        comparison,
        source,
        probability=_probability(meta["probability"]) if "probability" in meta else drawn,
        place=chance(f"review place {source}", digest),
        name=None if row.get("id") is None else _text(str(row["id"]), "id"),
        judged=tuple(_judged(meta)),
        answers=tuple(_answers(row, meta, reviewer)),
    )


def _probability(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise InvalidInput(Fault("meta.probability", "must be a number above 0 and at most 1, or null"))
    return float(value)


def _answers(row: dict[str, Any], meta: dict[str, Any], reviewer: str | None) -> Iterator[tuple[str, Answer]]:
    given = meta.get("answers")
    if given is None:
        label = row.get("label")
        if reviewer is not None and label is not None:
            yield reviewer, _one_of(label, get_args(Label), "label")
        return
    if not isinstance(given, list):
        raise InvalidInput(Fault("meta.answers", "must be a list"))
    names = set()
    for number, one in enumerate(given):
        field = f"meta.answers.{number}"
        entry = _object(one, field)
        name = _text(entry.get("reviewer"), f"{field}.reviewer")
        if name in names:
            raise InvalidInput(Fault(f"{field}.reviewer", f"{name!r} has two answers"))
        names.add(name)
        yield name, _one_of(entry.get("answer"), get_args(Answer), f"{field}.answer")


def _judged(meta: dict[str, Any]) -> Iterator[Judged]:
    for version, value in _object(meta.get("verdicts"), "meta.verdicts").items():
        field = f"meta.verdicts.{version}"
        one = _object(value, field)
        chance_a = one.get("probability_a")
        if chance_a is not None and (not isinstance(chance_a, int | float) or not 0 <= chance_a <= 1):
            raise InvalidInput(Fault(f"{field}.probability_a", "must be a number from 0 to 1, or null"))
        verdict = _one_of(one.get("verdict"), get_args(Verdict), f"{field}.verdict")
        yield Judged(_text(version, "meta.verdicts"), verdict, chance_a)


def _object(value: Any, field: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(Fault(field, "must be a JSON object"))
    return value


def _one_of(value: Any, names: tuple[str, ...], field: str) -> Any:
    if value not in names:
        raise InvalidInput(Fault(field, f"must be one of {', '.join(names)}"))
    return value


def _text(value: Any, field: str) -> str:
    if reason := flaw(value):
        raise InvalidInput(Fault(field, reason))
    return str(value)
