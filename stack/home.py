"""The folder of the embedded stack: where everything lies, who runs it, and how to reach it.

HOME/postgres   the database (a link, where it had to lie elsewhere: see `stack.processes.postgres`)
HOME/valkey     the queue
HOME/models     model versions      HOME/work   half-made ones
HOME/log        one log a process   HOME/run    sockets, the lock, the address book
"""

import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from stack.errors import StackError

# A Unix socket's path must fit into 108 bytes with a final zero.
_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running stack answers; written to `HOME/run/stack.json` for the command line."""

    pid: int
    gateway_url: str
    database_url: str
    redis_url: str
    backend_urls: list[str]


@dataclass(frozen=True, slots=True)
class Home:
    """`JUDGESMITH_HOME` as the embedded stack uses it."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> "Home":
        """The home at an absolute path: children do not share our working directory."""
        return cls(root.expanduser().resolve())

    @property
    def log_dir(self) -> Path:
        """Folder of the logs."""
        return self.root / "log"

    @property
    def run_dir(self) -> Path:
        """Folder of sockets, the lock and the address book; only its owner may enter."""
        return self.root / "run"

    @property
    def address_file(self) -> Path:
        """The address book. Its URLs may hold passwords."""
        return self.run_dir / "stack.json"

    def prepare(self) -> None:
        """Make the folders that are missing.

        As root the home may be passed through, though not listed: Postgres runs under another user then.
        """
        if not self.root.exists():
            self.root.mkdir(parents=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.log_dir, self.run_dir):
            folder.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def lock(self, patience_s: float = 40.0) -> Iterator[int]:
        """Hold the home for one `up`; yields the lock's file descriptor.

        Where the last `up` was killed, its reaper holds the lock until the last child is gone.

        Raises:
            StackError: another one holds it, or the remains of a killed one do not go.
        """
        with (self.run_dir / "up.lock").open("a+") as file:
            deadline = time.monotonic() + patience_s
            while not _try_lock(file.fileno()):
                file.seek(0)
                pid = int(file.read() or 0)
                if alive(pid) or time.monotonic() > deadline:
                    raise StackError(
                        f"judgesmith is already up in {self.root} (pid {pid}): stop it with Ctrl-C there or "
                        f"`kill {pid}`, or set JUDGESMITH_HOME and --port for a second one"
                    )
                time.sleep(0.2)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield file.fileno()

    def write_addresses(self, addresses: Addresses) -> None:
        """Publish the addresses, readable by the owner only."""
        draft = self.address_file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(addresses), file, indent=1)
        os.replace(draft, self.address_file)

    def forget_addresses(self) -> None:
        """The stack is down."""
        self.address_file.unlink(missing_ok=True)

    def read_addresses(self) -> Addresses | None:
        """The running stack's addresses; None when none runs here."""
        with suppress(FileNotFoundError, PermissionError, ValueError, TypeError):
            addresses = Addresses(**json.loads(self.address_file.read_text()))
            if alive(addresses.pid):
                return addresses
        return None

    def short_folder(self, name: str) -> Path:
        """A folder under the system's temporary one, always the same for this home: for sockets only."""
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"judgesmith-{name}-{digest}"


def private_folder(folder: Path, owner: tuple[int, int] | None = None) -> Path:
    """Make a folder that only its owner (uid, gid; default: this process's) may enter, and return it.

    Raises:
        StackError: it exists and somebody else could enter it.
    """
    uid, gid = owner or (os.geteuid(), os.getegid())
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
        os.chown(folder, uid, gid)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise StackError(
            f"{folder} should be a folder that only user {uid} may enter, and is not; remove it and try again"
        )
    return folder


def fits_socket(path: Path) -> bool:
    """Whether a Unix socket may have this path."""
    return len(os.fsencode(path)) <= _SOCKET_PATH_BYTES


def alive(pid: int) -> bool:
    """Whether a process with this number runs; one that has ended and waits to be noticed does not."""
    with suppress(FileNotFoundError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
