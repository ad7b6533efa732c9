"""What is refused before anything starts, and what the refusal says."""

import platform
import socket

import pytest

from stack.errors import StackError
from stack.processes import preflight
from stack.processes.backend import CANDIDATE, PINNED


def test_a_taken_port_names_who_has_it_and_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(
            StackError, match=rf"port {port} on 127.0.0.1 is taken by .* \(pid \d+\): .*--port"
        ):
            preflight.require_port("127.0.0.1", port)

    preflight.require_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(StackError, match="is not an address of this machine"):
        preflight.require_port(host, 8080)


def test_a_full_disk_is_refused(tmp_path):
    with pytest.raises(StackError, match=r"only 2\.9 GB is free in .*JUDGESMITH_HOME"):
        preflight.require_disk(tmp_path, free_gb=2.9)
    preflight.require_disk(tmp_path, free_gb=3.1)


@pytest.mark.parametrize(("extra", "name"), [(CANDIDATE, "candidate"), (PINNED, "pinned")])
def test_one_more_engine_needs_memory_for_its_weights(tmp_path, extra, name):
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2_000_000_000)

    told = (
        rf"4\.9 GB of memory is left, 5\.0 GB is needed .*leave out --{name}-engine, "
        rf"or set JUDGESMITH_{name.upper()}_URLS"
    )
    with pytest.raises(StackError, match=told):
        preflight.require_memory_for_engine(tmp_path, extra, 4.9)
    preflight.require_memory_for_engine(tmp_path, extra, 5.1)


def test_little_memory_is_a_warning_and_less_a_refusal():
    with pytest.raises(StackError, match=r"only 2\.5 GB of memory is available, 3 GB is needed"):
        preflight.require_memory(2.5)
    assert "only 3.5 GB" in preflight.require_memory(3.5)
    assert preflight.require_memory(8.0) is None


def test_a_container_with_a_limit_counts_what_is_left_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("3000000000\n")
    (tmp_path / "memory.current").write_text("1000000000\n")

    with pytest.raises(StackError, match=r"only 2\.0 GB"):
        preflight.require_memory()


def test_a_missing_package_says_what_to_run():
    with pytest.raises(StackError, match="no_such_engine is not installed: run `make install`"):
        preflight.require_packages("json", "no_such_engine")


def test_another_system_is_told_what_works_there(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")

    with pytest.raises(StackError, match="JUDGESMITH_DATABASE_URL"):
        preflight.require_platform()


@pytest.mark.parametrize(
    ("host", "chosen", "auth"),
    [
        ("127.0.0.1", None, "off"),
        ("127.8.0.1", None, "off"),
        ("::1", None, "off"),
        ("localhost", None, "off"),
        ("127.0.0.1", "keys", "keys"),
        ("0.0.0.0", None, "keys"),
        ("::", None, "keys"),
        ("example.org", None, "keys"),
        ("0.0.0.0", "keys", "keys"),
    ],
)
def test_keys_are_left_out_on_loopback_only(host, chosen, auth):
    assert preflight.choose_auth(host, chosen) == auth


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_no_keys_on_an_address_that_others_reach_is_refused(host):
    with pytest.raises(StackError, match="JUDGESMITH_AUTH=off would make everybody"):
        preflight.choose_auth(host, "off")
