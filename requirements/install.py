"""Makes `.venv` and installs Judgesmith into it: `install.py [--lock cpu|gpu|auto] [--dev]`.

Every package comes from a lock, at the locked version and with the locked hash; then Judgesmith itself is
installed as an editable package. `--dev` puts the development tools on top, from a lock of their own. A run
that was stopped is finished by the next one, and a finished environment is recognized at once. This runs
before anything is installed, under whatever Python is there: it uses the standard library only, and nothing
newer than Python 3.7 before it has said which Python to get.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".judgesmith-installed"
LOG = VENV / "install.log"
# pip unpacks downloads here: the system's own folder for that is often a small disk in memory, and what a
# killed pip leaves is found again.
SCRATCH = VENV / "tmp"

LOCKED_PYTHON = (3, 11)
LOCKED_GLIBC = (2, 31)
# Room for the environment, the downloads, and a pip cache beside them.
DISK_GB = {"cpu": 8.0, "gpu": 16.0}
# Below the first the engine and the seed model do not start; below the second they crowd out everything else.
MEMORY_GB_NEEDED = 3.0
MEMORY_GB_WANTED = 4.0
# The CPU builds of torch are on PyTorch's own index only.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OFFLINE = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError")


class InstallError(Exception):
    """Something the reader has to mend; the text says what and how."""


class PipError(InstallError):
    """pip failed; keeps all that this pip wrote."""

    def __init__(self, output: str) -> None:
        super().__init__(explain_failure(output))
        self.output = output


def main(arguments: list[str]) -> int:
    """Installs, and turns every failure into one clear line and a non-zero exit code."""
    parser = argparse.ArgumentParser(description="Make .venv and install Judgesmith into it.")
    parser.add_argument(
        "--lock",
        choices=["cpu", "gpu", "auto"],
        default="auto",
        help="auto: what .venv was made for before; else gpu where `nvidia-smi -L` works, cpu elsewhere",
    )
    parser.add_argument("--dev", action="store_true", help="install the development tools as well")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, stop)
    try:
        install(options.lock, options.dev)
    except InstallError as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"install: {error}. Mend that and run the same command again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninstall: stopped. Run the same command again to continue.", file=sys.stderr)
        return 130
    return 0


def stop(signum: int, frame: FrameType | None) -> NoReturn:
    """Lets SIGTERM unwind like Ctrl-C, so that pip is stopped too."""
    raise KeyboardInterrupt


def install(choice: str, dev: bool) -> None:
    """Brings `.venv` to the state that the locks describe; returns at once when it is there."""
    lock = pick_lock(choice)
    if is_complete(lock, dev):
        return
    require_platform()
    require_python()
    require_memory()
    with one_install_at_a_time() as guard:
        if is_complete(lock, dev):
            return
        started = time.monotonic()
        if not is_complete(lock, dev=False):
            prepare_venv(lock)
            install_locked(lock, guard)
            say("Installing Judgesmith itself ...")
            run_pips([["install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]], guard)
            STAMP.write_text(complete_stamp(lock, dev=False))
        if dev:
            clear_leftovers()
            install_locked("dev", guard)
            STAMP.write_text(complete_stamp(lock, dev))
        shutil.rmtree(SCRATCH, ignore_errors=True)
        say(f"Installed in {clock(time.monotonic() - started)}.")


# --- which lock, and is it done


def pick_lock(choice: str) -> str:
    """Returns `cpu` or `gpu`; `auto` keeps what the environment was made for, so nothing is probed again."""
    if choice != "auto":
        return choice
    return stamped_lock() or ("gpu" if has_gpu() else "cpu")


def has_gpu() -> bool:
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def lock_file(lock: str) -> Path:
    return ROOT / "requirements" / f"{lock}.lock"


def complete_stamp(lock: str, dev: bool) -> str:
    """What the stamp says when all is installed.

    The project file counts, because console scripts come from it; so does the folder, because an environment
    breaks when it is moved.
    """
    project = ROOT / "pyproject.toml"
    lines = [f"{lock} {digest(lock_file(lock))}", f"pyproject.toml {digest(project)}", str(ROOT)]
    if dev:
        lines.append(f"dev {digest(lock_file('dev'))}")
    return "\n".join(lines) + "\n"


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def is_complete(lock: str, dev: bool) -> bool:
    """Whether `.venv` has all that is asked for; development tools that nobody asks for do no harm."""
    stamp = STAMP.read_text() if STAMP.exists() else ""
    return set(complete_stamp(lock, dev).splitlines()) <= set(stamp.splitlines())


def stamped_lock() -> str | None:
    """The lock that `.venv` was made from, finished or not."""
    words = STAMP.read_text().split() if STAMP.exists() else []
    return words[0] if words and words[0] in DISK_GB else None


@contextmanager
def one_install_at_a_time() -> Iterator[int]:
    """Holds a file lock and yields its descriptor.

    Each pip inherits the descriptor: if this process is killed, the lock lives as long as its pip does.
    """
    with Path(__file__).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another install is running here; waiting for it ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


# --- what the machine must have


def require_platform() -> None:
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise InstallError(
            f"the locks are for Linux on x86_64, this is {system} on {machine}. "
            "Run it on such a machine or in such a container."
        )
    libc, version = platform.libc_ver()
    if libc != "glibc" or tuple(map(int, version.split("."))) < LOCKED_GLIBC:
        raise InstallError(
            f"the locked packages need glibc {'.'.join(map(str, LOCKED_GLIBC))} or newer, this system has "
            f"{libc or 'another C library'} {version}. Use Debian 11, Ubuntu 20.04, RHEL 9 or anything newer."
        )


def require_python() -> None:
    """Goes on under a Python that fits the lock: this one, or else `python3.11` from PATH in its place."""
    if sys.version_info[:2] != LOCKED_PYTHON:
        exec_with(find_python())
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise InstallError(
            f"{sys.executable} cannot make virtual environments. "
            "On Debian or Ubuntu: apt install python3.11-venv. Then run the same command again."
        )


def find_python() -> str:
    """Returns a working python3.11 from PATH; a version manager's shim may be there and still not work."""
    wanted = ".".join(map(str, LOCKED_PYTHON))
    found = shutil.which(f"python{wanted}")
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    if found:
        answer = subprocess.run([found, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if answer.stdout.decode().strip() == wanted:
            return found
    raise InstallError(
        f"Python {wanted} is needed; this is {platform.python_version()}, and PATH has no working one. "
        f"Install it (apt install python{wanted} python{wanted}-venv, or: uv python install {wanted}), "
        "then run the same command again."
    )


def exec_with(python: str) -> NoReturn:
    sys.stdout.flush()
    os.execv(python, [python, *sys.argv])


def require_memory() -> None:
    available = available_memory_gb()
    if available < MEMORY_GB_NEEDED:
        raise InstallError(
            f"only {available:.1f} GB of memory is available, at least {MEMORY_GB_NEEDED:.0f} GB is needed. "
            "Close something or use a larger machine or container limit."
        )
    if available < MEMORY_GB_WANTED:
        say(f"Only {available:.1f} GB of memory is available; {MEMORY_GB_WANTED:.0f} GB or more is better.")


def available_memory_gb() -> float:
    """What the machine has left, or the container's limit if that is less."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    available = int(found.group(1)) * 1024 if found else sys.maxsize
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    if text != "max":
        available = min(available, int(text))
    return available / 1e9


def require_disk(lock: str) -> None:
    """Counts what an earlier run has already put there."""
    free = shutil.disk_usage(ROOT).free / 1e9
    needed = DISK_GB[lock] - folder_gb(VENV)
    if free < needed:
        raise InstallError(
            f"{free:.1f} GB is free where {ROOT} lies, {needed:.1f} GB is needed. "
            "Free some space or move the checkout to a larger disk."
        )


def folder_gb(folder: Path) -> float:
    files = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files) / 1e9


# --- the environment


def prepare_venv(lock: str) -> None:
    """Leaves a working, possibly half-filled `.venv` that is marked as unfinished."""
    if VENV.exists():
        reason = why_unusable(lock)
        if reason:
            say(f"{VENV} {reason}; making it anew.")
            shutil.rmtree(VENV)
        else:
            say("An earlier install was unfinished or older; finishing it.")
    require_disk(lock)
    if not VENV.exists():
        make_venv()
    STAMP.write_text(f"{lock} unfinished\n")
    clear_leftovers()


def why_unusable(lock: str) -> str | None:
    """Says why the existing environment cannot be reused, or None."""
    made_for = stamped_lock()
    if made_for not in (None, lock):
        # Both engines install a folder `vllm`: neither can be put over the other.
        return f"was made for the {made_for} lock"
    settings = VENV / "pyvenv.cfg"
    if not settings.exists() or str(VENV) not in settings.read_text():
        return "was made in another place"
    code = f"import pip, sys; sys.exit(sys.version_info[:2] != {LOCKED_PYTHON})"
    try:
        tried = subprocess.run([str(VENV_PYTHON), "-I", "-c", code], stderr=subprocess.DEVNULL)
    except OSError:
        return "has no Python that starts"
    return "has no working Python 3.11 with pip" if tried.returncode else None


def make_venv() -> None:
    say(f"Making {VENV} ...")
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if made.returncode != 0:
        raise InstallError(f"`{sys.executable} -m venv` failed:\n{made.stdout}{made.stderr}".rstrip())


def site_packages() -> Path:
    return VENV / "lib" / f"python{LOCKED_PYTHON[0]}.{LOCKED_PYTHON[1]}" / "site-packages"


def clear_leftovers() -> None:
    """Empties pip's scratch folder and makes pip see a package again whose installation was cut short.

    pip takes a package for installed once its metadata is there, but writes INSTALLER only after all files.
    """
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir()
    for metadata in site_packages().glob("*.dist-info"):
        if not (metadata / "INSTALLER").exists():
            shutil.rmtree(metadata)


# --- the packages


def install_locked(lock: str, guard: int) -> None:
    text = lock_file(lock).read_text()
    pins = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.MULTILINE)
    duration = "half a minute" if lock == "dev" else "some minutes"
    say(f"Installing the {len(pins)} packages of {lock}.lock into {VENV}; the first time takes {duration}.")
    say(f"What pip says goes to {LOG}.")
    progress = Progress(pins)
    torch = re.search(r"^torch==\S+\+cpu\b.*?(?=^\S)", text, re.MULTILINE | re.DOTALL)
    if torch:
        install_torch(torch.group(0), progress, guard)
    # Two pips at once: pip itself keeps to one core, and takes most of the time of a first start.
    pieces = re.findall(r"^[a-z0-9].*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    files = [SCRATCH / f"{lock}-{half}.txt" for half in (1, 2)]
    for half, file in enumerate(files):
        file.write_text("".join(pieces[half::2]))
    install_requirements(files, [], progress, guard)
    progress.finish()


def install_torch(requirement: str, progress: Progress, guard: int) -> None:
    """Installs the CPU build of torch from where pip is told to look, or else from PyTorch's own index.

    It comes first and alone, so that no other package is ever taken from that index.
    """
    file = SCRATCH / "torch.txt"
    file.write_text(requirement)
    try:
        install_requirements([file], [], progress, guard)
    except PipError as error:
        if "No matching distribution found" not in error.output or OFFLINE.search(error.output):
            raise
        install_requirements([file], ["--extra-index-url", TORCH_CPU_INDEX], progress, guard)


def install_requirements(files: list[Path], options: list[str], progress: Progress, guard: int) -> None:
    # Not compiled: Python does that on the first start for the modules it needs, in a third of the time.
    # No dependencies: the lock is complete, and leaves out what some packages ask for (overrides.txt).
    command = ["install", "--no-compile", "--no-deps", "--require-hashes", *options, "--requirement"]
    run_pips([[*command, str(file)] for file in files], guard, progress)


def run_pips(commands: list[list[str]], guard: int, progress: Progress | None = None) -> None:
    """Runs pips at the same time, with their output in the log; raises PipError when one fails."""
    with LOG.open("ab") as log:
        begin = log.tell()
        for command in commands:
            log.write(f"\n$ pip {' '.join(command)}\n".encode())
        log.flush()
        processes = [start_pip(command, guard, log) for command in commands]
        try:
            while any(process.poll() is None for process in processes):
                if any(process.poll() for process in processes):
                    break  # one has failed: what the others do is no use now
                time.sleep(0.2)
                if progress:
                    progress.update(log_text(begin))
        finally:
            for process in processes:
                process.terminate()
                process.wait()
    if any(process.returncode for process in processes):
        raise PipError(log_text(begin))


def start_pip(command: list[str], guard: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    settings = {"TMPDIR": str(SCRATCH), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    return subprocess.Popen(
        [str(VENV_PYTHON), "-I", "-u", "-m", "pip", *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **settings},
        pass_fds=[guard],
    )


def log_text(begin: int) -> str:
    """What pip has written since the byte `begin` of the log."""
    with LOG.open("rb") as log:
        log.seek(begin)
        return log.read().decode(errors="replace")


def explain_failure(output: str) -> str:
    lines = output.strip().splitlines()
    telling = [line for line in lines if line.startswith("ERROR")] or lines
    last_lines = "\n".join(f"  {line[:160]}" for line in telling[-3:])
    if "No space left on device" in output:
        advice = "the disk is full; free some space and run the same command again"
    elif "DO NOT MATCH THE HASHES" in output:
        advice = "a downloaded file is not the one in the lock; look at the package index or proxy in use"
    elif OFFLINE.search(output):
        advice = "no connection to the package index; look at the network or proxy and run this again"
    else:
        advice = "pip failed; run the same command again, and if it fails again read the log"
    return f"{advice}.\n{last_lines}\n  (all of it: {LOG})"


# --- telling how far it is


class Progress:
    """Shows how far pip is: one line that changes on a terminal, a line every ten seconds elsewhere."""

    DOWNLOADED = re.compile(
        r"^(?:Collecting|Requirement already satisfied:) ([\w.-]+)==|^Processing \S*/(\w[\w.]*)-",
        re.MULTILINE,
    )

    def __init__(self, pins: list[str]) -> None:
        self.pins = set(pins)
        self.packages = len(pins)
        self.already = self.installed()
        self.started = time.monotonic()
        self.shown = self.started
        self.terminal = sys.stderr.isatty()

    def installed(self) -> int:
        """Counts the packages in place, since pip does not say which one it is at."""
        names = (folder.name.split("-")[0] for folder in site_packages().glob("*.dist-info"))
        return len(self.pins & {re.sub(r"[-_.]+", "-", name).lower() for name in names})

    def update(self, output: str) -> None:
        downloads = self.DOWNLOADED.findall(output)
        installed = self.installed()
        downloaded = min(self.packages, max(len(downloads), installed))
        elapsed = time.monotonic() - self.started
        if installed == self.packages:
            text = "finishing"
        elif "Installing collected packages" in output:
            text = f"installing {installed} of {self.packages}"
        else:
            text = f"downloading {downloaded} of {self.packages}"
            text += f" ({''.join(downloads[-1])})" if downloads else ""
        self.show(f"{text}, {clock(elapsed)} so far{self.remaining(downloaded, installed, elapsed)}")

    def remaining(self, downloaded: int, installed: int, elapsed: float) -> str:
        """A rough guess: downloading and installing a package count the same, and so do all packages."""
        steps = 2 * (self.packages - self.already)
        done = downloaded + installed - 2 * self.already
        if done * 10 < steps or done == steps:
            return ""
        return f", about {clock(elapsed * (steps - done) / done)} left"

    def show(self, text: str) -> None:
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r\x1b[K" + text[:width], end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.shown >= 10:
            self.shown = time.monotonic()
            say(text)

    def finish(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
