"""The embedded backend: a vLLM server that serves the champion, and on demand others for other versions."""

import logging
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

from judge.backend import engine
from judge.errors import BackendError
from judge.settings import DtypeSetting
from judge.store.database import Sessions
from judge.versions.version import VersionStore
from stack.processes.champion import champion_folder, label_weights
from stack.processes.child import Launch, Program
from stack.processes.spawn import CODE

logger = logging.getLogger(__name__)
PREFERRED_PORT = 8000


@dataclass(frozen=True, slots=True)
class ExtraEngine:
    """A server beside the champion's: for which versions, and the setting that has the addresses of such."""

    name: str
    versions: str
    setting: str

    @property
    def option(self) -> str:
        """The option of `judgesmith up` that starts one."""
        return f"--{self.name}-engine"

    @property
    def variable(self) -> str:
        """The setting as it stands in the environment."""
        return f"JUDGESMITH_{self.setting.upper()}"


CANDIDATE = ExtraEngine("candidate", "candidates", "candidate_urls")
PINNED = ExtraEngine("pinned", "pinned versions", "pinned_urls")


@dataclass(slots=True)
class Backend:
    """A vLLM server on loopback. Each start takes the champion of that moment."""

    sessions: Sessions
    store: VersionStore
    port: int
    max_model_len: int
    dtype: DtypeSetting
    name: str = "vllm"
    _version: str = field(default="", init=False)
    # One client: making one costs 20 ms, and it is asked often while the engine needs the cores to load.
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=4), init=False)

    @property
    def url(self) -> str:
        """Where the gateway and the workers find it."""
        return f"http://127.0.0.1:{self.port}"

    def program(self) -> Program:
        """To be kept up. Loading takes 40 s on two cores for the smallest model, minutes for a large one."""
        return Program(
            self.name,
            self.launch,
            ready=self.answers,
            on_ready=self.label,
            healthy=self.answers,
            grace_s=65,
            start_timeout_s=1800,
        )

    def launch(self) -> Launch:
        """The server's command line for the present champion.

        Raises:
            StackError: there is no champion, or its folder is gone.
        """
        folder = champion_folder(self.sessions, self.store)
        self._version = folder.name
        command = engine.command(
            folder, host="127.0.0.1", port=self.port, max_model_len=self.max_model_len, dtype=self.dtype
        )
        return Launch(command, engine.environment(), CODE)

    def answers(self) -> bool:
        """Whether it answers and its engine lives."""
        with suppress(httpx.HTTPError):
            return self._http.get(f"{self.url}/health").status_code == 200
        return False

    def label(self) -> None:
        """Name the weights that it was started with. Where that fails the gateway does it."""
        try:
            label_weights(self.url, self._version)
        except BackendError as error:
            logger.warning("%s", error)
