"""The Dockerfile: that it is sound, and that it contains what the project needs."""

import re
import shlex
import subprocess
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def dockerfile(root: Path) -> str:
    return (root / "Dockerfile").read_text()


def test_the_linter_finds_nothing(root: Path) -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"

    run = subprocess.run([linter, root / "Dockerfile"], capture_output=True, text=True)

    assert run.returncode == 0, run.stdout


def test_everything_that_is_copied_exists_and_reaches_the_build(root: Path, dockerfile: str) -> None:
    kept = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    for source in _copied(dockerfile):
        for path in [source.replace("${LOCK}", lock) for lock in ("cpu", "gpu")]:
            assert (root / path).exists(), f"{path} does not exist"
            assert any(Path(path).match(pattern) for pattern in kept), f"{path} is in .dockerignore"


def test_every_package_of_the_project_is_in_the_image(root: Path, dockerfile: str) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]

    packages = {pattern.removesuffix("*").removesuffix(".") for pattern in include}

    assert packages <= set(_copied(dockerfile))


def test_it_runs_as_a_numbered_user(dockerfile: str) -> None:
    users = re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE)

    # Kubernetes cannot tell from a name that a user is not root.
    assert users == ["10001:10001"]
    assert "useradd --uid 10001 --gid 10001 " in dockerfile


def test_no_build_argument_or_variable_is_a_secret(dockerfile: str) -> None:
    names = re.findall(r"^(?:ARG|ENV)\s+(\w+)", dockerfile, re.MULTILINE)

    assert not [name for name in names if re.search("(?i)token|secret|password|key", name)]


def test_the_cpu_image_needs_no_compiler(dockerfile: str) -> None:
    system = dockerfile.split("AS system-cpu")[1].split("\nFROM ")[0]

    # Without a compiler, the first request for logprobs would end the engine if torch compiled anything.
    assert "ENV TORCH_COMPILE_DISABLE=1" in system
    assert "libnuma1" in system


def test_its_default_command_exists(dockerfile: str, check_command: Callable[[list[str]], None]) -> None:
    command = re.search(r"^CMD \[(.+)\]$", dockerfile, re.MULTILINE)

    assert command
    check_command(re.findall(r'"([^"]*)"', command[1]))


def _copied(dockerfile: str) -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
    return [source for line in lines for source in shlex.split(line)[:-1]]
