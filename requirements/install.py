"""Makes `.venv` with uv and installs Judgesmith into it: `install.py [--lock cpu|gpu|auto] [--dev]`.

Every package comes from a lock, with the locked hash; then Judgesmith itself, editable. What
is finished is recognized at once, what was stopped is made anew from what uv has kept. Runs under any Python
from 3.8 on that has pip, or beside a uv; the environment gets Python 3.11, which uv finds or fetches.
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV, TOOL = ROOT / ".venv", ROOT / ".uv"
STAMP = VENV / ".judgesmith-installed"
PYTHON, GLIBC, OLDEST_UV = "3.11", (2, 31), (0, 8)
# Room for the environment, and for uv's cache beside it.
DISK_GB = {"cpu": 8.0, "gpu": 16.0}
# Below this the engine and the seed model do not start.
MEMORY_GB = 3.0


class InstallError(Exception):
    """Something the reader has to mend; the text says what and how."""


def main(arguments: list[str]) -> int:
    """Installs, and turns every failure into one clear line and a non-zero exit code."""
    parser = argparse.ArgumentParser(description="Make .venv and install Judgesmith into it.")
    parser.add_argument("--lock", choices=["cpu", "gpu", "auto"], default="auto")
    parser.add_argument("--dev", action="store_true", help="install the development tools as well")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        install(options.lock, options.dev)
    except (InstallError, OSError) as error:
        say(f"install: {error}")
        return 1
    except KeyboardInterrupt:
        say("\ninstall: stopped. Run the same command again.")
        return 130
    return 0


def install(choice: str, dev: bool) -> None:
    """Brings `.venv` to the state that the locks describe; returns at once when it is there."""
    with Path(__file__).open() as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another install is running here; waiting for it ...")
            fcntl.flock(guard, fcntl.LOCK_EX)
        os.set_inheritable(guard.fileno(), True)  # the lock lives as long as uv, if this process is killed
        kept = stamped()
        lock = choice if choice != "auto" else kept[0] if kept[:1] and kept[0] in DISK_GB else detected()
        if is_complete(lock, dev):
            return
        require_machine(lock)
        started, uv = time.monotonic(), find_uv()
        if kept[:1] != [lock] or "unfinished" in kept or str(ROOT) not in kept:
            # Both engines install a folder `vllm`, and a stopped install leaves halves of packages.
            STAMP.unlink(missing_ok=True)
            run(f"no Python {PYTHON} was found or fetched; install it", uv, "venv", "-qc", "-p", PYTHON, VENV)
        STAMP.write_text(f"{lock}\nunfinished\n")
        files = [lock_file(name) for name in ([lock, "dev"] if dev else [lock])]
        pins = {pin for file in files for pin in re.findall(r"^([\w.-]+)==", file.read_text(), re.M)}
        say(f"Installing {len(pins)} packages into {VENV}; the first time that takes some minutes.")
        # No dependencies: the locks are complete, and leave out what some packages ask for (overrides.txt).
        into = (uv, "pip", "install", "-p", VENV, "--no-deps")
        given = [option for file in files for option in ("-r", file)]
        again = "uv could not install all of them; mend what it says and run this again"
        run(again, *into, "--require-hashes", *torch_source(lock), *given)
        run("Judgesmith could not be installed", *into, "-q", "--no-build-isolation", "--editable", ROOT)
        STAMP.write_text(complete_stamp(lock, dev))
        say("Installed in {}:{:02d}.".format(*divmod(int(time.monotonic() - started), 60)))


def detected() -> str:
    return (
        "gpu" if shutil.which("nvidia-smi") and not printed("timeout", "30", "nvidia-smi", "-L")[0] else "cpu"
    )


def stamped() -> list[str]:
    """What `.venv` was made from: the lock, the folder, the digests; or `unfinished`."""
    return STAMP.read_text().splitlines() if STAMP.exists() else []


def complete_stamp(lock: str, dev: bool) -> str:
    """What the stamp says when all is there: scripts come from the project file, a moved folder breaks."""
    files = [lock_file(lock), ROOT / "pyproject.toml", *([lock_file("dev")] if dev else [])]
    digests = [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    return "\n".join([lock, str(ROOT), *digests, ""])


def is_complete(lock: str, dev: bool) -> bool:
    """Whether `.venv` has all that is asked for; development tools that nobody asks for do no harm."""
    return set(complete_stamp(lock, dev).splitlines()) <= set(stamped())


def lock_file(lock: str) -> Path:
    return ROOT / "requirements" / f"{lock}.lock"


def require_machine(lock: str) -> None:
    """The platform of the locks, room on the disk, memory: one line each."""
    (libc, version), machine = platform.libc_ver(), f"{platform.system()} on {platform.machine()}"
    if machine != "Linux on x86_64" or libc != "glibc" or tuple(map(int, version.split("."))) < GLIBC:
        raise InstallError(
            "the locks are for Linux on x86_64 with glibc 2.31 or newer (Debian 11, Ubuntu 20.04, RHEL 9); "
            f"this is {machine} with {libc or 'another C library'} {version}"
        )
    there = sum(path.lstat().st_size for path in VENV.rglob("*")) / 1e9 if VENV.exists() else 0.0
    free, needed = shutil.disk_usage(ROOT).free / 1e9, DISK_GB[lock] - there
    if free < needed:
        raise InstallError(f"{free:.1f} GB is free at {ROOT}, {needed:.1f} GB is needed; free some space")
    memory = int(re.findall(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[0]) / 1e6
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and limit.read_text().strip() != "max":
        memory = min(memory, int(limit.read_text()) / 1e9)
    if memory < MEMORY_GB:
        raise InstallError(f"{memory:.1f} GB of memory is available, {MEMORY_GB} is needed; close something")


def find_uv() -> str:
    """This machine's uv, if it knows what is asked of it; else the locked one, put into `.uv` by pip."""
    pinned = re.findall(r"^uv==(?:.|\n(?=\s))*", lock_file("dev").read_text(), re.M)[0]
    own, version = str(TOOL / "bin" / "uv"), pinned.split()[0][4:]
    for found in (shutil.which("uv"), own):
        said = re.match(r"uv (\d+)\.(\d+)\.\d+", printed(found, "--version")[1]) if found else None
        if said and (int(said[1]), int(said[2])) >= OLDEST_UV and (found != own or version in said[0]):
            return str(found)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pinned)
        file.flush()
        os.environ.setdefault("PIP_ROOT_USER_ACTION", "ignore")  # it goes into a folder of its own
        get = ["-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--require-hashes", "--target"]
        run("uv is needed and pip could not get it; install uv", sys.executable, *get, TOOL, "-r", file.name)
    return own


def torch_source(lock: str) -> list[str]:
    """Where the CPU build of torch is: in a folder that pip is told of, else on PyTorch's own index."""
    if lock == "gpu":
        return []
    config = printed(sys.executable, "-m", "pip", "config", "list")[1]
    told = [ast.literal_eval(value) for value in re.findall(r"find-links=(.*)", config)]
    folders = " ".join([os.environ.get("PIP_FIND_LINKS", ""), *told]).split()
    local = [folder for folder in folders if any(Path(folder).glob("torch-*+cpu-*.whl"))]
    return ["--find-links", local[0]] if local else ["--torch-backend", "cpu"]


def printed(*command: str) -> tuple[int, str]:
    """The exit code and what was printed; a version manager's shim may be there and not work."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return 127, ""
    return done.returncode, done.stdout


def run(trouble: str, *command: object) -> None:
    """Runs what says itself how far it is; its list of packages is left out where nobody watches."""
    pipe = None if sys.stderr.isatty() else subprocess.PIPE
    process = subprocess.Popen(list(map(str, command)), stderr=pipe, text=True, close_fds=False)
    try:
        for line in process.stderr or ():
            if not line.startswith((" + ", " - ", " ~ ")):
                say(line, end="")
        code = process.wait()
    finally:
        process.terminate()
        process.wait()
    if code:
        raise InstallError(f"{trouble}.")


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
