"""The first lesson: bring the example instructions in, run one iteration, and show what changed."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from judge.comparison import Instruction
from judge.errors import BackendError, JudgesmithError
from judge.teaching import effort
from judge.teaching.effort import Pace
from judge.teaching.profiles import Profile, iteration_settings
from stack.terminal import ingest, show
from stack.terminal.caller import read_lines
from stack.terminal.gateway import Gateway
from stack.terminal.narrator import Narrator
from stack.terminal.watch import follow

_CHARACTERS_A_TOKEN = 4
EXAMPLE = {
    "instruction": "Why is the sky blue? Answer in two sentences.",
    "response_a": (
        "Air scatters short wavelengths of sunlight more than long ones. So blue light reaches us from "
        "every part of the sky."
    ),
    "response_b": (
        "To bake bread you mix flour, water, salt and yeast, then let the dough rise. After an hour it "
        "goes into a hot oven."
    ),
}


class Lesson(threading.Thread):
    """Runs beside the supervisor; the iteration itself is the workers' and goes on without it."""

    def __init__(
        self,
        gateway: Gateway,
        narrator: Narrator,
        examples: Path,
        profile: Profile,
        pace: Callable[[Sequence[Instruction]], Pace],
        finished: Callable[[], None] = lambda: None,
    ) -> None:
        """`pace` measures this machine's; `finished` is called when the gateway is no longer needed."""
        super().__init__(name="first lesson", daemon=True)
        self._finished = finished
        self._gateway = gateway
        self._narrator = narrator
        self._examples = examples
        self._profile = profile
        self._pace = pace
        self._left = threading.Event()

    def leave(self) -> None:
        """Stop watching, and give the terminal back."""
        self._left.set()
        self.join(timeout=10)

    def run(self) -> None:
        """The lesson from beginning to end; what goes wrong is told, and does no harm to the service."""
        try:
            self._teach()
        except JudgesmithError as error:
            if not self._left.is_set():
                self._narrator.say(f"the first lesson ended early: {error}")
        finally:
            self._finished()

    def _teach(self) -> None:
        say = self._narrator.say
        if not self._examples.exists():
            say(f"no first lesson: {self._examples} is not there (installed without the checkout)")
            return
        say("First start: teaching the model from the example instructions; the service answers meanwhile.")
        say("(`judgesmith up --no-teach` leaves this out; Ctrl-C stops it, and the next start goes on.)")
        lines, *_ = ingest.parse(read_lines(self._examples), "examples")
        done = ingest.send(self._gateway, lines, lambda count: None)
        say(f"  {done.accepted} instructions brought in")
        self._expect([Instruction.from_json(line.item["messages"]) for line in lines])
        before = self._judge()
        iteration = self._gateway.post("/admin/iterations", {"profile": self._profile})
        state = follow(self._gateway, iteration["id"], self._narrator.console, self._left.is_set)
        if self._left.is_set():
            return
        say("\nWhat came of it:")
        for line in show.summary(state):
            say(line)
        self._compare(before, self._judge())

    def _expect(self, instructions: Sequence[Instruction]) -> None:
        """Say how long it will take, by what the engine does in a few seconds."""
        characters = sum(len(instruction.text) for instruction in instructions) / len(instructions)
        efforts = effort.stages(
            iteration_settings(self._profile, {}), len(instructions), characters / _CHARACTERS_A_TOKEN
        )
        try:
            seconds = effort.seconds(efforts, self._pace(instructions))
        except BackendError as error:
            self._narrator.say(f"  how long it takes cannot be told: {error}")
            return
        self._narrator.say(f"  it takes about {max(1, round(seconds / 60))} minutes on this machine")

    def _judge(self) -> dict[str, Any]:
        return self._gateway.post("/judge/pairwise", dict(EXAMPLE))

    def _compare(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """The same pair, judged before and after: A answers the question, B is about something else."""
        self._narrator.say("The example pair (A is the good one):")
        for when, answer in (("before", before), ("after", after)):
            chance = show.probability(answer["probability_a"])
            self._narrator.say(
                f"  {when:<8} verdict {answer['verdict']}, P(A) {chance}, model {answer['model_version']}"
            )
