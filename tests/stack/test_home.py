"""The home: its lock, its address book, its rights."""

import os
import subprocess
import sys

import pytest

from stack.errors import StackError
from stack.home import Addresses, Home, fits_socket


@pytest.fixture
def home(tmp_path):
    home = Home.at(tmp_path / "home")
    home.prepare()
    return home


def test_only_one_stack_may_hold_a_home(home):
    code = (
        "import sys; from pathlib import Path; from stack.home import Home\n"
        "with Home.at(Path(sys.argv[1])).lock(): pass"
    )
    with home.lock():
        second = subprocess.run([sys.executable, "-c", code, home.root], capture_output=True, text=True)

    assert f"already up in {home.root} (pid {os.getpid()})" in second.stderr
    assert subprocess.run([sys.executable, "-c", code, home.root]).returncode == 0


def test_a_lock_held_by_the_remains_of_a_killed_stack_is_waited_for_and_then_given_up(home):
    with home.lock():
        (home.run_dir / "up.lock").write_text("999999999")

        with pytest.raises(StackError, match="already up"), home.lock(patience_s=0.3):
            pass


def test_addresses_are_private_and_forgotten_with_the_process_that_wrote_them(home):
    addresses = Addresses(
        os.getpid(), "http://127.0.0.1:1", "postgresql+psycopg://", "unix:///x", ["http://b"]
    )
    home.write_addresses(addresses)
    home.write_addresses(addresses)

    assert home.read_addresses() == addresses
    assert home.address_file.stat().st_mode & 0o777 == 0o600
    home.write_addresses(Addresses(999_999_999, "", "", "", []))
    assert home.read_addresses() is None
    home.forget_addresses()
    assert home.read_addresses() is None


def test_a_new_home_cannot_be_listed_by_others(home):
    assert home.root.stat().st_mode & 0o066 == 0
    assert home.run_dir.stat().st_mode & 0o077 == 0


def test_the_longest_path_of_a_socket(tmp_path):
    name = tmp_path / "x"
    room = 107 - len(os.fsencode(name))

    assert fits_socket(name.with_name("x" + "y" * room))
    assert not fits_socket(name.with_name("x" + "y" * (room + 1)))
