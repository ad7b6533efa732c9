"""What can be known to fail before anything is started: each check says what to do about it."""

import errno
import ipaddress
import platform
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from stack.errors import StackError
from stack.processes.backend import ExtraEngine

DISK_GB = 3.0
MEMORY_GB_NEEDED = 3.0
MEMORY_GB_WANTED = 4.0
_CGROUP = Path("/sys/fs/cgroup")
Auth = Literal["keys", "off"]


def require_platform() -> None:
    """The wheels of the embedded stack are used as built for Linux on x86-64.

    Raises:
        StackError: this is something else.
    """
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise StackError(
            f"the embedded stack runs on Linux x86-64 only, this is {system} {machine}: run it in a Linux "
            "container, or point JUDGESMITH_DATABASE_URL, JUDGESMITH_REDIS_URL and JUDGESMITH_BACKEND_URLS "
            "at servers of your own"
        )


def require_packages(*names: str) -> None:
    """Raises `StackError` for the first import package that is not there."""
    for name in names:
        if find_spec(name) is None:
            raise StackError(
                f"{name} is not installed: run `make install` (LOCK=gpu where there is an NVIDIA GPU)"
            )


def require_port(host: str, port: int) -> None:
    """Raises `StackError` if the gateway could not listen there; says who does, where that can be seen."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise StackError(f"{host} is not an address of this machine: choose another --host") from None
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise StackError(_why_not(error.errno, host, port)) from None


def _why_not(code: int | None, host: str, port: int) -> str:
    match code:
        case errno.EACCES:
            return f"port {port} is for root only: choose --port 1024 or above"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine: choose another --host"
    who = _listener(port)
    by = f" by {who}" if who else ""
    return f"port {port} on {host} is taken{by}: stop that, or choose another --port"


def _listener(port: int) -> str | None:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            here = connection.laddr.port if connection.laddr else None
            if here == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None


def require_disk(folder: Path, free_gb: float | None = None) -> None:
    """Raises `StackError` where the home lies on a disk that is nearly full."""
    free = shutil.disk_usage(folder).free / 1e9 if free_gb is None else free_gb
    if free < DISK_GB:
        raise StackError(
            f"only {free:.1f} GB is free in {folder}, {DISK_GB:.0f} GB is needed: free some, or set "
            "JUDGESMITH_HOME to a folder on a larger disk"
        )


def require_memory(available_gb: float | None = None) -> str | None:
    """A warning where memory is scarce.

    Raises:
        StackError: it will not do.
    """
    available = _available_memory_gb() if available_gb is None else available_gb
    if available < MEMORY_GB_NEEDED:
        raise StackError(
            f"only {available:.1f} GB of memory is available, {MEMORY_GB_NEEDED:.0f} GB is needed: close "
            "something, or raise the container's limit"
        )
    if available < MEMORY_GB_WANTED:
        return (
            f"only {available:.1f} GB of memory is available; with less than {MEMORY_GB_WANTED:.0f} GB "
            "training may fail"
        )
    return None


def require_memory_for_engine(model: Path, extra: ExtraEngine, available_gb: float | None = None) -> None:
    """Raises `StackError` where the memory will not do for one more engine with this model."""
    available = _available_memory_gb() if available_gb is None else available_gb
    weights = sum(path.stat().st_size for path in model.glob("*.safetensors")) / 1e9
    needed = MEMORY_GB_NEEDED + weights
    if available < needed:
        raise StackError(
            f"only {available:.1f} GB of memory is left, {needed:.1f} GB is needed for an engine for "
            f"{extra.versions}: leave out {extra.option}, or set {extra.variable} to one on another machine"
        )


def _available_memory_gb() -> float:
    """What the machine has left, or what this container may still take."""
    available: list[int] = [psutil.virtual_memory().available, *_left_in_cgroup()]
    return min(available) / 1e9


def _left_in_cgroup() -> Iterator[int]:
    with suppress(OSError, ValueError):
        limit = int((_CGROUP / "memory.max").read_text())  # the word `max` where there is no limit
        yield limit - int((_CGROUP / "memory.current").read_text())


def choose_auth(host: str, chosen: Auth | None) -> Auth:
    """Whether callers need keys: not on loopback unless they were asked for, elsewhere always.

    Raises:
        StackError: keys were switched off for an address that others can reach.
    """
    if chosen == "off" and not is_loopback(host):
        raise StackError(
            f"JUDGESMITH_AUTH=off would make everybody who reaches {host} an administrator: unset it, or "
            "listen on 127.0.0.1"
        )
    return chosen or ("off" if is_loopback(host) else "keys")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
