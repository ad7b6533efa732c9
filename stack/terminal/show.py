"""Answers of the gateway as text for a terminal. Pure: dictionaries in, text and tables out."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

from judge.teaching.iterations import STAGES

if TYPE_CHECKING:
    from judge.store.tables import ApiKey

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
    yield from funnel(state.get("funnel") or [])
    yield from gate(state.get("gate") or {})
    if state.get("error"):
        yield f"  error      {state['error']}"
    candidate = f", candidate {state['candidate']}" if state.get("candidate") else ""
    yield f"  outcome    {state['status']}{candidate}"
    campaign = state.get("campaign")
    if campaign:
        reason = f": {campaign['reason']}" if campaign["reason"] else ""
        yield f"  campaign   {campaign['ordinal']} of {campaign['times']}, {campaign['status']}{reason}"


def funnel(steps: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """`instructions 328 -> 320 (too_long 5, near_duplicate 3)`, a line a step."""
    for number, step in enumerate(steps):
        dropped = f" ({pairs(step['dropped'])})" if step["dropped"] else ""
        lead = "" if number else "funnel"
        yield f"  {lead:<10} {step['step']} {step['came_in']} -> {step['kept']}{dropped}"


def gate(answer: Mapping[str, Any]) -> Iterator[str]:
    """The decision and its reasons, then the accuracy of champion and candidate on each set of pairs."""
    if not answer:
        return
    yield f"  gate       {answer['decision']}"
    for reason in answer.get("reasons") or []:
        yield f"             {reason}"
    for name, figures in {"held-out pairs": answer["main"], **answer["guards"]}.items():
        yield f"             {name}: {difference(figures)}"
    attacks = answer.get("attacks")
    if attacks:
        yield f"             attacks that succeeded: {rates(attacks)}"


def rates(both: Mapping[str, Any]) -> str:
    """`champion 6 of 40, candidate 9 of 40`."""
    return ", ".join(
        f"{role} {both[role]['successes']} of {both[role]['trials']}" for role in ("champion", "candidate")
    )


def trial(answer: Answer) -> Iterator[str]:
    """What a candidate did on live traffic."""
    yield f"{answer['mode']} of {answer['candidate']} beside {answer['champion']}: {answer['status']}"
    ending = f", {answer['outcome']}: {answer['reason']}" if answer.get("outcome") else ""
    yield f"comparisons  {answer['decisions']} of {answer['wanted']}{ending}"
    for name, title in (("flips", "turned"), ("invalid", "no verdict"), ("ties", "ties")):
        tally = answer[name]
        rate = tally["rate"]
        interval = f", {rate[0]:.3f} ({rate[1]:.3f} to {rate[2]:.3f})" if rate else ""
        yield f"{title:<12} {tally['successes']} of {tally['trials']}{interval}"
    if answer["moved"] is not None:
        yield f"P(A) moved   {answer['moved']:.3f} in the mean"
    if answer["champion_ms"] is not None:
        yield f"median time  {answer['champion_ms']:.0f} ms, candidate {answer['candidate_ms']:.0f} ms"
    for champion, row in sorted(answer["verdicts"].items()):
        yield f"champion {champion:<8} candidate {pairs(dict(sorted(row.items())))}"


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


def drift_line(answer: Answer) -> str:
    """`drift: tie 0.080 to 0.250 (… pairwise direct, since 2026-01-05 03:20)`, or that there is none."""
    if not answer.get("streams"):
        return "drift: no window is complete yet"
    alarms = [f"{change(one)} ({_stream(one)}, since {_time(one['since'])})" for one in answer["alarms"]]
    return f"drift: {'; '.join(alarms) or 'none'}"


def change(one: Mapping[str, Any]) -> str:
    """`tie 0.080 to 0.250`."""
    return f"{one['figure']} {one['before']:.3f} to {one['now']:.3f}"


def drift(answer: Answer) -> Table:
    """What has changed in each stream of decisions between its first window and its newest."""
    table = _table("Drift", "version", "kind", "mode", "windows", "figure", "first", "now", "p", "alarm")
    for stream in answer.get("streams") or []:
        names = [stream["version"], stream["kind"], stream["mode"], str(stream["windows"][-1]["ordinal"])]
        if not stream["changes"]:
            table.add_row(*names)
        for one in stream["changes"]:
            figures = (f"{one['before']:.3f}", f"{one['now']:.3f}", f"{one['p_value']:.2g}")
            table.add_row(*names, one["figure"], *figures, "ALARM" if one["alarm"] else "")
            names = [""] * 4
    return table


def agreement(answer: Answer) -> Iterator[str]:
    """How far people agree with each other and with each version."""
    people = answer["people"]
    yield f"reviewed        {answer['reviewed']}"
    yield (
        f"people          alpha {figure(people['alpha'])}, agreement {figure(people['agreement'])}, "
        f"{people['items']} by several"
    )
    for one in answer["reviewers"]:
        yield f"{' and '.join(one['reviewers'])}: {_kappa(one)}"
    for version, one in answer["versions"].items():
        yield f"{version}: {_kappa(one)}"


def accuracy(answer: Answer) -> Iterator[str]:
    """How often a version says what people say."""
    yield f"accuracy        {figure(answer['accuracy'])}, {answer['labeled']} of {answer['items']} labeled"
    if answer["undecidable"]:
        yield f"left out        {answer['undecidable']}, which everybody skipped"
    yield f"labels alone    {figure(answer['labels_alone'])}"


def figure(values: list[float] | None) -> str:
    """`0.810 (0.736 to 0.867)`; a dash where there is none."""
    return f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})" if values else "—"


def _kappa(one: Mapping[str, Any]) -> str:
    return f"kappa {figure(one['kappa'])}, agreement {figure(one['agreement'])}, {one['items']} items"


def _stream(one: Mapping[str, Any]) -> str:
    return f"{one['version']}, {one['kind']} {one['mode']}"


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


def pins(rows: Iterable[Answer], now: datetime) -> Table:
    """Who holds which version; one that ran out before `now` holds it no more."""
    table = _table("Pins", "tenant", "name", "version", "served", "made by", "made", "until")
    for row in rows:
        lapsed = datetime.fromisoformat(row["expires_at"]) <= now
        ends = f"{_time(row['expires_at'])}{' (ran out)' if lapsed else ''}"
        served = "yes" if row["served"] else "no"
        cells = (row["tenant"], row["name"], row["version"], served, row["created_by"])
        table.add_row(*cells, _time(row["created_at"]), ends)
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
