"""The seed model becomes a version, in a process of its own as the stack runs it."""

import os
import subprocess
import sys

import pytest

from judge.versions.pointer import read_pointer
from judge.versions.version import VersionStore
from stack.errors import StackError
from stack.processes.champion import champion, champion_folder, register_seed
from stack.processes.seed import find
from stack.processes.spawn import CODE
from tests.fixtures import sessions  # noqa: F401
from tests.tiny_model import make_tiny_model


def convert(model: str, home: object) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, "JUDGESMITH_HOME": str(home), "JUDGESMITH_MODEL": model, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "stack.processes.seed"]
    return subprocess.run(command, cwd=CODE, env=variables, capture_output=True, text=True)


def test_a_folder_becomes_the_same_version_twice_and_leaves_nothing_half_made(tmp_path, sessions):  # noqa: F811
    folder = make_tiny_model(tmp_path / "tiny")
    leftover = tmp_path / "home" / "work" / "seed-killed"
    leftover.mkdir(parents=True)

    first, second = (convert(str(folder), tmp_path / "home") for _ in range(2))

    assert first.returncode == 0, first.stderr
    version = first.stdout.split()[-1]
    assert second.stdout.split()[-1] == version
    assert [path.name for path in (tmp_path / "home" / "work").iterdir()] == ["seed.lock"]
    store = VersionStore(tmp_path / "home" / "models")
    manifest = store.verify(version)
    assert (manifest.origin, manifest.strategy) == ("seed: tiny", "pairwise")
    assert len(manifest.probe.labels) == len(manifest.probe.logprobs) == 2
    _registering(sessions, store, version)


def _registering(sessions, store, version):  # noqa: F811
    """Part of the test above, which has the only converted model."""
    with pytest.raises(StackError, match="judgesmith seed"):
        champion_folder(sessions, store)

    assert register_seed(sessions, store, version) == version
    assert register_seed(sessions, store, version) == version
    assert champion(sessions) == version
    assert champion_folder(sessions, store).name == version
    with sessions() as session:
        assert read_pointer(session).fence == 1
    with pytest.raises(StackError, match="JUDGESMITH_HOME"):
        champion_folder(sessions, VersionStore(store.root / "elsewhere"))


def test_pickled_weights_are_not_read(tmp_path):
    folder = make_tiny_model(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    refused = convert(str(folder), tmp_path / "home")

    assert refused.returncode != 0
    assert not list((tmp_path / "home" / "work").glob("seed-*"))


@pytest.mark.parametrize("model", ["no-such-model", "./no/such/folder", "/no/such/folder"])
def test_a_model_that_is_nowhere_is_named(model):
    with pytest.raises(StackError, match="no such folder"):
        find(model)
