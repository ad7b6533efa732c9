"""What the stack and the command line tell a person instead of a traceback."""

from judge.errors import Fault, JudgesmithError


class StackError(JudgesmithError):
    """Something on this machine that the reader has to mend; the text says what and how."""

    slug = "stack"


class Unreachable(StackError):
    """The gateway does not answer."""

    slug = "unreachable"


class Problem(JudgesmithError):
    """An RFC 9457 answer of the gateway, or of what stands in front of it."""

    slug = "problem"

    def __init__(self, status: int, title: str, detail: str = "", faults: tuple[Fault, ...] = ()) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.faults = faults
        super().__init__(f"{title}: {detail}" if detail else title)
