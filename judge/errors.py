"""Everything that Judgesmith raises on purpose.

JudgesmithError
 ├── InvalidInput          a field of a request or a line of a file is wrong
 │    └── PromptTooLong    the texts do not fit the model's context
 ├── NotFound              no such version, iteration, key
 ├── Conflict              the request is fine, the state does not allow it
 │    ├── NotServed        a version that exists but is not loaded
 │    │    └── PinLapsed   a pin that ran out, and whose version is not loaded any more
 │    ├── Pinned           a swap that would take away a version that trainers have pinned
 │    └── Fenced           somebody else has taken over this work
 ├── Unavailable           a dependency is down or too busy; try again
 │    └── BackendError     vLLM gave no usable answer
 │         └── VersionChanged  the weights were swapped under a decision
 ├── BackendRefused        vLLM does not accept the request; another attempt would not help
 ├── BadModel              a model version's folder fails its checks
 ├── SwapFailed            a new version could not be put into service; nothing has changed
 └── Cancelled             an operator asked the iteration to stop
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input.

    `field` is a dotted path (`messages.0.content`) or `line 12`; `reason` says what to change.
    """

    field: str
    reason: str


class JudgesmithError(Exception):
    """Base of all. `slug` is the stable last part of a problem's `type`."""

    slug = "error"


class InvalidInput(JudgesmithError):
    """A field or a line that cannot be accepted; `faults` names each."""

    slug = "invalid-input"

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{fault.field}: {fault.reason}" for fault in faults))


class PromptTooLong(InvalidInput):
    """The assembled prompt exceeds the context length."""

    slug = "prompt-too-long"


class NotFound(JudgesmithError):
    """Nothing is known under that name."""

    slug = "not-found"


class Conflict(JudgesmithError):
    """The present state does not allow what was asked."""

    slug = "conflict"


class NotServed(Conflict):
    """The version exists but no backend has it loaded."""

    slug = "version-not-served"


class PinLapsed(NotServed):
    """The pin ran out and its version was swapped away since; the run cannot go on with the same rewards."""

    slug = "pin-lapsed"


class Pinned(Conflict):
    """A running trainer has pinned the version that the swap would take out of service."""

    slug = "version-pinned"


class Fenced(Conflict):
    """This worker's lease has passed to another; it must stop without writing."""

    slug = "fenced"


class Unavailable(JudgesmithError):
    """Something this process needs is down or too busy."""

    slug = "unavailable"


class BackendError(Unavailable):
    """The backend gave no usable answer within the retries."""

    slug = "backend-unavailable"


class VersionChanged(BackendError):
    """Answers of one decision came from other weights than the version it had read."""

    slug = "version-changed"


class BackendRefused(JudgesmithError):
    """The backend answered that this request cannot be served as it is (4xx)."""

    slug = "backend-refused"


class BadModel(JudgesmithError):
    """A model version's folder is damaged, unsafe or of another architecture."""

    slug = "bad-model"


class SwapFailed(JudgesmithError):
    """Loading or probing failed; the champion is what it was."""

    slug = "swap-failed"


class Cancelled(JudgesmithError):
    """The iteration was asked to stop."""

    slug = "cancelled"
