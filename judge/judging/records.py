"""Reading what was recorded of rewards."""

from collections import defaultdict

from sqlalchemy import text
from sqlalchemy.orm import Session

# The sums of calls add up (`judge.evaluation.reward_health`), so the database does it.
_SUMS = text(
    "SELECT model_version, strategy, entry.key, sum(entry.value::float8) "
    "FROM decisions, jsonb_each_text(votes) AS entry "
    "WHERE kind = 'reward' AND at > now() - make_interval(secs => :seconds) "
    "AND (CAST(:version AS text) IS NULL OR model_version = :version) "
    "GROUP BY model_version, strategy, entry.key"
)


def sums(
    session: Session, hours: float, version: str | None = None
) -> dict[tuple[str, str], dict[str, float]]:
    """Sums over the rewards of the last hours, by version and form."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for made_by, form, key, value in session.execute(_SUMS, {"seconds": hours * 3600, "version": version}):
        found[made_by, form][key] = value
    return dict(found)
