"""How many came in at each step of an iteration, why the others were dropped, how many were kept. Pure.

A stage puts the steps that it did under `funnel` into its counts; together they are the iteration's funnel.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from judge.teaching.iterations import STAGES


@dataclass(slots=True)
class Step:
    """One step, filled while it is done. `name` is what is counted: `instructions`, `responses`, …"""

    name: str
    came_in: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """What is left."""
        return self.came_in - self.dropped.total()

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was dropped for this reason; 0 leaves no trace."""
        if count:
            self.dropped[reason] += count

    def to_json(self) -> dict[str, Any]:
        """Reasons with the most drops first."""
        dropped = dict(sorted(self.dropped.items(), key=lambda item: (-item[1], item[0])))
        return {"step": self.name, "came_in": self.came_in, "dropped": dropped, "kept": self.kept}


def funnel(counts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps so far, in order, out of an iteration's counts."""
    for stage in STAGES:
        for step in counts.get(stage, {}).get("funnel", []):
            yield {"stage": stage, **step}
