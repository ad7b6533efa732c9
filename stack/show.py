"""Answers of the gateway as text for a terminal. Pure: dictionaries in, text and tables out."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from judge.iterations import STAGES

if TYPE_CHECKING:
    from judge.tables import ApiKey

Answer = dict[str, Any]


def decision(answer: Answer) -> Iterator[str]:
    """A pairwise decision: verdict, probability, both orders, and what gave it."""
    reason = f" ({answer['reason']})" if answer.get("reason") else ""
    yield f"verdict        {answer['verdict']}{reason}"
    yield f"P(A better)    {probability(answer.get('probability_a'))}"
    for order in answer.get("orders") or []:
        chance = probability(order.get("probability_a"))
        yield f"{order['first'].upper()} shown first  {order['verdict']}, P(A) {chance}"
    if answer.get("votes"):
        yield f"votes          {pairs(answer['votes'])}"
    if answer.get("rationale"):
        yield f"rationale      {answer['rationale']}"
    yield f"model          {answer['model_version']} ({answer['mode']}, prompt {answer['prompt_hash']})"
    yield f"latency        {answer['latency_ms']:.0f} ms"


def probability(value: float | None) -> str:
    """Three decimals; a dash where there is none."""
    return "—" if value is None else f"{value:.3f}"


def summary(state: Answer) -> Iterator[str]:
    """What an iteration came to: the funnel, the gate's answer with its figures, the outcome."""
    counts = state.get("counts") or {}
    for stage in STAGES:
        if stage in counts:
            yield f"  {stage:<10} {pairs(counts[stage])}"
    yield from gate(state.get("gate") or {})
    if state.get("error"):
        yield f"  error      {state['error']}"
    candidate = f", candidate {state['candidate']}" if state.get("candidate") else ""
    yield f"  outcome    {state['status']}{candidate}"


def gate(answer: Mapping[str, Any]) -> Iterator[str]:
    """The decision and its reasons, then the accuracy of champion and candidate on each set of pairs."""
    if not answer:
        return
    yield f"  gate       {answer['decision']}"
    for reason in answer.get("reasons") or []:
        yield f"             {reason}"
    for name, figures in {"held-out pairs": answer["main"], **answer["guards"]}.items():
        yield f"             {name}: {difference(figures)}"


def difference(figures: Mapping[str, Any]) -> str:
    """`0.552 to 0.379, difference -0.172 (-0.292 to -0.065), 29 pairs`."""
    return (
        f"{figures['champion']:.3f} to {figures['candidate']:.3f}, difference {figures['difference']:+.3f} "
        f"({figures['low']:+.3f} to {figures['high']:+.3f}), {figures['items']} pairs"
    )


def pairs(values: Mapping[str, Any]) -> str:
    """`a 1, b 2`; nested figures in parentheses, lists (logs, reasons told elsewhere) left out."""
    kept = {name: value for name, value in values.items() if not isinstance(value, list)}
    return ", ".join(f"{name} {_value(value)}" for name, value in kept.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return f"({pairs(value)})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def models(answer: Answer) -> Table:
    """All versions with their aliases."""
    aliases = {answer.get(name): name for name in ("candidate", "previous", "champion")}
    table = _table("Models", "version", "alias", "origin", "direct mode", "made")
    for version in answer.get("versions") or []:
        name = version["id"]
        cells = (
            name,
            aliases.get(name) or "",
            version["origin"],
            version["strategy"],
            _time(version["created_at"]),
        )
        table.add_row(*cells)
    return table


def iterations(answer: Answer) -> Table:
    """The last iterations."""
    table = _table("Iterations", "id", "status", "stage", "profile", "candidate", "gate", "begun")
    for row in answer.get("iterations") or []:
        verdict = (row.get("gate") or {}).get("decision", "")
        cells = (
            row["id"],
            row["status"],
            row.get("stage"),
            row.get("profile"),
            row.get("candidate"),
            verdict,
        )
        table.add_row(*("" if cell is None else str(cell) for cell in cells), _time(row.get("created_at")))
    return table


def anchors(answer: Answer) -> Table:
    """Every anchor set with its size."""
    table = _table("Anchor sets", "name", "pairs")
    sets = answer.get("anchors") or []
    for row in sets:
        table.add_row(str(row["name"]), str(row["pairs"]))
    return table


def quarantine(answer: Answer) -> Table:
    """Instructions kept apart: why, and how they begin."""
    counts = pairs(answer.get("counts") or {}) or "none"
    table = _table(f"In quarantine: {counts}", "id", "kind", "tenant", "reason", "instruction")
    for row in answer.get("quarantined") or []:
        words = " ".join(str(row["messages"][-1]["content"]).split())
        shown = words if len(words) <= 60 else f"{words[:59]}…"
        table.add_row(str(row["id"]), row["kind"], row["tenant"], row["reason"], shown)
    return table


def tenants(answer: Answer) -> Table:
    """Tenants with terms of their own; a dash where the gateway's settings hold."""
    table = _table("Tenants", "name", "captured", "in 24 hours", "days kept")
    for row in answer.get("tenants") or []:
        values = (row["daily_instructions"], row["retention_days"])
        shown = ("—" if value is None else str(value) for value in values)
        table.add_row(row["name"], "yes" if row["capture"] else "no", *shown)
    return table


def keys(rows: "Iterable[ApiKey]") -> Table:
    """API keys; their secrets are not known to anybody but who was shown them."""
    table = _table("Keys", "id", "name", "tenant", "scopes", "made", "revoked")
    for row in rows:
        cells = (row.id, row.name, row.tenant, ", ".join(row.scopes))
        table.add_row(*cells, _time(row.created_at), _time(row.revoked_at))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in ("version", "candidate"))
    return table


def _time(stamp: object) -> str:
    """The minute of an ISO time."""
    return str(stamp or "")[:16].replace("T", " ")
