"""requirements/: what the locks hold, and when `install.py` takes an environment for complete."""

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def install(root: Path, tmp_path: Path) -> ModuleType:
    """`install.py` in a project of its own, with an empty `.venv`."""
    shutil.copytree(root / "requirements", tmp_path / "requirements")
    shutil.copy(root / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").mkdir()
    spec = importlib.util.spec_from_file_location("install", tmp_path / "requirements" / "install.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("lock", ["cpu", "gpu", "dev"])
def test_every_locked_package_has_a_hash(root: Path, lock: str) -> None:
    entries = _entries(root, lock)

    assert entries
    assert [name for name, entry in entries.items() if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", ["cpu", "gpu"])
def test_what_the_images_install_has_the_build_backend_and_no_development_tool(root: Path, lock: str) -> None:
    locked = _entries(root, lock)

    assert "setuptools" in locked
    assert not locked.keys() & {"hypothesis", "import-linter", "mypy", "pytest", "ruff", "uv"}
    assert not [name for name, entry in locked.items() if "(pyproject.toml:dev)" in entry]


@pytest.mark.parametrize("lock", ["cpu", "gpu"])
def test_the_development_tools_change_nothing_below_them(root: Path, lock: str) -> None:
    runtime, tools = _entries(root, lock), _entries(root, "dev")

    shared = runtime.keys() & tools.keys()

    assert {name: _version(tools[name]) for name in shared} == {
        name: _version(runtime[name]) for name in shared
    }


def test_every_development_tool_is_locked(root: Path) -> None:
    groups = tomllib.loads((root / "pyproject.toml").read_text())["dependency-groups"]

    tools = {re.split("[<=>]", requirement)[0] for requirement in groups["dev"]}

    assert tools <= _entries(root, "dev").keys()


def test_an_environment_with_tools_serves_where_none_are_asked_for(install: ModuleType) -> None:
    install.STAMP.write_text(install.complete_stamp("cpu", dev=True))

    assert install.is_complete("cpu", dev=True)
    assert install.is_complete("cpu", dev=False)
    assert not install.is_complete("gpu", dev=False)


def test_an_environment_without_tools_lacks_them(install: ModuleType) -> None:
    install.STAMP.write_text(install.complete_stamp("cpu", dev=False))

    assert install.is_complete("cpu", dev=False)
    assert not install.is_complete("cpu", dev=True)


def test_a_changed_lock_or_project_makes_an_environment_incomplete(install: ModuleType) -> None:
    install.STAMP.write_text(install.complete_stamp("cpu", dev=True))

    with install.lock_file("dev").open("a") as file:
        file.write("# changed\n")
    assert install.is_complete("cpu", dev=False)
    assert not install.is_complete("cpu", dev=True)

    with (install.ROOT / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert not install.is_complete("cpu", dev=False)


def _entries(root: Path, lock: str) -> dict[str, str]:
    """What the lock says of each package, by name."""
    text = (root / "requirements" / f"{lock}.lock").read_text()
    entries = re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE)[1:]
    return {entry.split("==")[0]: entry for entry in entries}


def _version(entry: str) -> str:
    return entry.split()[0].split("==")[1]


def test_torch_comes_from_a_folder_that_pip_is_told_of_if_it_is_there(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path}/nowhere {tmp_path}")

    assert install.torch_source("cpu") == ["--torch-backend", "cpu"]
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    assert install.torch_source("cpu") == ["--find-links", str(tmp_path)]
    assert install.torch_source("gpu") == []


def test_what_is_missing_on_a_machine_is_one_line(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "DISK_GB", {"cpu": 1e6})

    assert install.main(["--lock", "cpu"]) == 1
    assert re.fullmatch(
        r"install: .* GB is free at .*, 1000000.0 GB is needed; free some space\n", capsys.readouterr().err
    )


def test_an_environment_of_an_earlier_installer_or_half_made_is_made_anew(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[object, ...]] = []
    monkeypatch.setattr(install, "find_uv", lambda: "uv")
    monkeypatch.setattr(install, "run", lambda _trouble, *command: ran.append(command))

    for stamp in ("cpu unfinished\n", "cpu 0123abc\npyproject.toml 99\n", "cpu\nunfinished\n"):
        install.STAMP.write_text(stamp)
        ran.clear()
        install.install("cpu", dev=False)
        assert [command[1] for command in ran] == ["venv", "pip", "pip"]
        assert install.is_complete("cpu", dev=False)

    with install.lock_file("cpu").open("a") as file:
        file.write("# changed\n")
    ran.clear()
    install.install("auto", dev=False)
    assert [command[1] for command in ran] == ["pip", "pip"]
