"""What commands take from their surroundings."""

import os

import pytest

from judge.errors import InvalidInput
from stack.errors import StackError
from stack.home import Addresses, Home
from stack.terminal import caller


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("JUDGESMITH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("JUDGESMITH_HOME", str(tmp_path / "home"))
    home = Home.at(tmp_path / "home")
    home.prepare()
    return home


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ([], {}),
        (["samples=3", "promote=approve"], {"samples": 3, "promote": "approve"}),
        (["mix.random=0.5", "mix.neighbor=0"], {"mix": {"random": 0.5, "neighbor": 0}}),
        (["note=a=b"], {"note": "a=b"}),
    ],
)
def test_changes_of_settings(changes, settings):
    assert caller.parse_changes(changes) == settings


@pytest.mark.parametrize("change", ["samples", "=3", ""])
def test_a_change_without_key_or_value_is_refused(change):
    with pytest.raises(InvalidInput, match="KEY=VALUE"):
        caller.parse_changes([change])


def test_a_text_may_be_read_from_a_file(tmp_path):
    (tmp_path / "answer.txt").write_text("From a file")

    assert caller.read_text("as it is") == "as it is"
    assert caller.read_text(f"@{tmp_path}/answer.txt") == "From a file"
    with pytest.raises(InvalidInput, match="cannot be read"):
        caller.read_text("@/no/such/file")


def test_only_line_feeds_end_a_line(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"instruction": "a\u2028b"}\n{"instruction": "c\x85d"}', encoding="utf-8")

    assert len(caller.read_lines(file)) == 2


def test_a_wrong_variable_is_named(monkeypatch):
    monkeypatch.setenv("JUDGESMITH_PORT", "http")
    with pytest.raises(StackError, match=r"JUDGESMITH_PORT: .*integer"):
        caller.load_settings()

    monkeypatch.setenv("JUDGESMITH_PORT", "80")
    monkeypatch.setenv("JUDGESMITH_BACKEND_URLS", "http://a")
    with pytest.raises(StackError, match="JSON"):
        caller.load_settings()


def test_folders_become_absolute(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)

    settings = caller.load_settings(home="kept", model="./model")

    assert settings.home == tmp_path / "kept"
    assert settings.model == str(tmp_path / "model")
    assert caller.load_settings(model="owner/name").model == "owner/name"


def test_the_running_stack_is_found_and_the_environment_comes_first(home, monkeypatch):
    with pytest.raises(StackError, match="JUDGESMITH_DATABASE_URL"):
        caller.database_url()
    assert caller.gateway().url == "http://127.0.0.1:8080"

    home.write_addresses(
        Addresses(os.getpid(), "http://127.0.0.1:1234", "postgresql+psycopg:///here", "", [])
    )
    assert caller.database_url() == "postgresql+psycopg:///here"
    assert caller.gateway().url == "http://127.0.0.1:1234"
    assert caller.gateway("http://there/").url == "http://there"

    monkeypatch.setenv("JUDGESMITH_DATABASE_URL", "postgresql+psycopg:///there")
    monkeypatch.setenv("JUDGESMITH_GATEWAY_URL", "http://elsewhere")
    assert caller.database_url() == "postgresql+psycopg:///there"
    assert caller.gateway().url == "http://elsewhere"
