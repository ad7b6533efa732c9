"""How far a stage is that asks the backend for many different things: counted in what they cost."""

from judge.teaching.effort import WRITTEN
from workers.stage import Stage

# Prompt tokens of a label read, about.
_READ = 190


class Counting:
    """Publishes progress as it is counted, in label reads."""

    def __init__(self, stage: Stage, total: float) -> None:
        """`total` is an upper bound: what turns out to be less is counted by `reach`."""
        self._stage = stage
        self._done, self._total, self._note = 0.0, total, ""

    def begin(self, note: str) -> None:
        """Say what comes now."""
        self._note = note
        self._publish()

    def add(self, reads: float) -> None:
        """Count what was done; raises `Fenced` or `Cancelled`."""
        self._done += reads
        self._publish()

    def reach(self, reads: float) -> None:
        """All that was planned up to here is done, or was never needed."""
        self._done = max(self._done, reads)
        self._publish()

    def _publish(self) -> None:
        self._stage.lease.progress(round(self._done), round(self._total), self._note)


def judged(how: str, reasoning_tokens: int) -> float:
    """What judging one pair in both orders costs, in label reads."""
    return 2.0 * (1.0 + (reasoning_tokens * WRITTEN / _READ if how == "reasoning" else 0.0))
