"""The way into the pool of instructions: redacted, in a known language, each once, and nothing suspect.

What comes in takes these steps in order, and the first that holds decides: the tenant's quota is used up
(rejected); known already (duplicate); close to an anchor or a benchmark's item (quarantined); nearly the same
as one that is there (near-duplicate); else it is stored. Near-duplicates are found through an index over
bands of signatures (`judge.gathering.fingerprints`), so the work for one instruction does not grow with the
pool.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from judge import languages
from judge.gathering import fingerprints, protected, tenants
from judge.gathering.instructions import STREAM, Gathered, from_stream_entry
from judge.gathering.portion import Portion
from judge.gathering.redaction import redact, redact_instruction
from judge.gathering.tenants import Policy
from judge.settings import Settings
from judge.store.database import Lock, Sessions
from judge.store.tables import InstructionRow, QuarantineRow

_GROUP = "gather"
_PORTION = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for everything that comes in, and for tenants without terms of their own."""

    redact: bool = True
    policy: Policy = field(default_factory=Policy)

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """As the process is set."""
        # Where nobody needs a key there is one tenant, the person at this machine.
        policy = Policy(settings.auth == "off", settings.daily_instructions, settings.retention_days)
        return cls(settings.redact, policy)


@dataclass(slots=True)
class Outcome:
    """What became of the items, by their indexes."""

    stored: int = 0
    duplicates: int = 0
    near_duplicates: int = 0
    quarantined: dict[int, str] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)


def admit(sessions: Sessions, items: Sequence[Gathered], rules: Rules) -> Outcome:
    """Let in what may; commits every hundred items, so a repetition finds duplicates."""
    outcome = Outcome()
    for start in range(0, len(items), _PORTION):
        prepared = [prepare(item, rules) for item in items[start : start + _PORTION]]
        with sessions.begin() as session:
            # One writer at a time, so that two near-duplicates cannot pass each other.
            session.execute(select(func.pg_advisory_xact_lock(Lock.GATHER)))
            # With a limit, the planner may take a scan of the table for cheaper than the bands' index.
            session.execute(text("SET LOCAL enable_seqscan = off"))
            protected.protect_anchors(session)
            left = _left(session, {item.tenant for item in prepared}, rules.policy)
            portion = Portion.look_up(session, prepared)
            _admit(portion, start, prepared, left, outcome)
            portion.write(session)
    return outcome


def prepare(item: Gathered, rules: Rules) -> Gathered:
    """The item as it may be stored: redacted, with its language and its print."""
    language = item.language or languages.detect(item.instruction.text)
    instruction, response = item.instruction, item.response
    if rules.redact:
        instruction = redact_instruction(instruction, language)
        response = response and redact(response, language)
    return replace(
        item,
        instruction=instruction,
        language=language,
        print=fingerprints.take(instruction),
        response=response,
    )


def _left(session: Session, names: set[str], default: Policy) -> dict[str, float]:
    """How many instructions each tenant may still store today."""
    terms = tenants.policies(session, default)
    left: dict[str, float] = {}
    for name in names:
        limit = terms.get(name, default).daily_instructions
        left[name] = limit - _stored_today(session, name) if limit else float("inf")
    return left


def _stored_today(session: Session, tenant: str) -> int:
    day = func.now() - text("interval '24 hours'")
    counts = (
        select(func.count()).where(table.tenant == tenant, table.created_at > day)
        for table in (InstructionRow, QuarantineRow)
    )
    return sum(session.scalar(count) or 0 for count in counts)


def _admit(
    portion: Portion, start: int, items: Sequence[Gathered], left: dict[str, float], outcome: Outcome
) -> None:
    for place, item in enumerate(items):
        close = portion.close[place]
        if portion.is_known(item):
            outcome.duplicates += 1
        elif left[item.tenant] <= 0:
            reason = f"the tenant {item.tenant} has stored its number of instructions for today"
            outcome.rejected[start + place] = reason
        elif close:
            portion.set_apart(item, str(close))
            outcome.quarantined[start + place] = str(close)
            left[item.tenant] -= 1
        elif portion.is_near(place, item):
            outcome.near_duplicates += 1
        else:
            portion.store(item)
            outcome.stored += 1
            left[item.tenant] -= 1


def gather(
    sessions: Sessions, redis: Redis, rules: Rules, *, consumer: str, batch: int = 500
) -> Counter[str]:
    """Move the captured instructions from the stream into Postgres; how many became what.

    An entry is acknowledged and deleted only after its transaction has committed. A crash between the
    two repeats it, and the unique digest makes the repetition a duplicate: each is stored exactly once.
    """
    try:
        redis.xgroup_create(STREAM, _GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    counts: Counter[str] = Counter()
    while entries := _take(redis, consumer, batch):
        outcome = admit(sessions, [from_stream_entry(fields) for _, fields in entries], rules)
        counts["new"] += outcome.stored
        counts["duplicates"] += outcome.duplicates
        counts["near_duplicates"] += outcome.near_duplicates
        counts["quarantined"] += len(outcome.quarantined)
        counts["rejected"] += len(outcome.rejected)
        ids = [entry_id for entry_id, _ in entries]
        redis.xack(STREAM, _GROUP, *ids)
        redis.xdel(STREAM, *ids)
    return counts


def _take(redis: Redis, consumer: str, batch: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The next entries: first those that a worker took over a minute ago and never acknowledged."""
    claimed: Any = redis.xautoclaim(STREAM, _GROUP, consumer, min_idle_time=60_000, count=batch)
    stale = [(entry_id, fields) for entry_id, fields in claimed[1] if fields]
    if stale:
        return stale
    answer: Any = redis.xreadgroup(_GROUP, consumer, {STREAM: ">"}, count=batch)
    return list(answer[0][1]) if answer else []
