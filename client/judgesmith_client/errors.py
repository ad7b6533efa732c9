"""Everything that this package raises.

ClientError
 ├── OutOfReach        no answer, or none but "try again", within the retries
 ├── Malformed         an answer that is not what the service gives: is it the right address?
 └── Refused           the service says no, and would again
      └── VersionGone  the version that was asked for, or pinned, serves no more
"""

from typing import Any


class ClientError(Exception):
    """Base of all."""


class OutOfReach(ClientError):
    """The service did not answer, or was too busy, each time."""


class Malformed(ClientError):
    """The answer was not understood."""


class Refused(ClientError):
    """A problem document (RFC 9457): `status`, the stable `kind`, and what is wrong with which `fields`."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.kind = str(problem.get("type", "")).rsplit(":", 1)[-1]
        self.fields = {str(one["field"]): str(one["reason"]) for one in problem.get("errors", [])}
        super().__init__(f"{status}: {problem.get('detail') or problem.get('title') or 'refused'}")


class VersionGone(Refused):
    """Going on would mean the rewards of another version."""


_GONE = {"version-not-served", "pin-lapsed"}


def refusal(status: int, problem: dict[str, Any]) -> Refused:
    """The error of an answer that is not worth another try."""
    error = Refused(status, problem)
    return VersionGone(status, problem) if error.kind in _GONE else error
