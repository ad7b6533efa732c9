"""What the tests of the deployment files share: the repository, its commands, its settings."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

from judge.settings import Settings
from tests.deploy.kubernetes import OUR_IMAGE, OVERLAYS, WORKLOADS, Resource, render

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="module", params=list(OVERLAYS))
def resources(request: pytest.FixtureRequest, root: Path) -> list[Resource]:
    return render(root / "k8s" / request.param)


@pytest.fixture(scope="module")
def pods(resources: list[Resource]) -> dict[str, Resource]:
    """The pod templates, by the name of what makes them."""
    return {
        resource["metadata"]["name"]: resource["spec"]["template"]
        for resource in resources
        if resource["kind"] in WORKLOADS
    }


@pytest.fixture(scope="module")
def containers(pods: dict[str, Resource]) -> dict[str, Resource]:
    """All containers, as `workload/container`."""
    return {
        f"{name}/{container['name']}": container
        for name, pod in pods.items()
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    }


@pytest.fixture(scope="module")
def ours(containers: dict[str, Resource]) -> dict[str, Resource]:
    return {name: item for name, item in containers.items() if item["image"].startswith(f"{OUR_IMAGE}:")}


@pytest.fixture(scope="session")
def check_command() -> Callable[[list[str]], None]:
    """Fails unless the project has this command and the command takes these options."""
    return _check_command


@pytest.fixture
def check_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], Settings]:
    """Fails unless every `JUDGESMITH_*` variable is a setting and its value is accepted."""

    def check(environment: Mapping[str, str]) -> Settings:
        ours = {name: value for name, value in environment.items() if name.startswith("JUDGESMITH_")}
        known = {f"JUDGESMITH_{field.upper()}" for field in Settings.model_fields}
        assert ours.keys() <= known, f"no such settings: {sorted(ours.keys() - known)}"
        for name in known:
            monkeypatch.delenv(name, raising=False)
        for name, value in ours.items():
            monkeypatch.setenv(name, value)
        return Settings()

    return check


def _check_command(command: list[str]) -> None:
    match command:
        case ["judgesmith", *arguments]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            module, _, function = project["scripts"]["judgesmith"].partition(":")
            _check_options(["-c", f"from {module} import {function}; {function}()"], arguments)
        case ["python", "-m", module, *arguments]:
            _check_options(["-m", module], arguments)
        case _:
            pytest.fail(f"not one of the project's commands: {command}")


def _check_options(python: list[str], arguments: list[str]) -> None:
    """Ask for help on the subcommand, which runs nothing, and look for the options there."""
    first = next((n for n, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    text = _help((*python, *arguments[:first]))
    for option in [argument for argument in arguments[first:] if argument.startswith("--")]:
        assert re.search(rf"{option}\b", text), f"there is no option {option}:\n{text}"


@cache
def _help(arguments: tuple[str, ...]) -> str:
    run = subprocess.run(
        [sys.executable, *arguments, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
