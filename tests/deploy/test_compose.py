"""docker-compose.yml: valid, closed to the outside but for the gateway, and about things that exist."""

import json
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from judge.backend import engine
from judge.settings import Settings

Services = dict[str, dict[str, Any]]

# Everything that one of our own images runs.
ENGINES = {"backend", "candidate", "pinned", "generator"}
ONE_SHOT = {"migrate", "seed", "generator-model"}
OURS = ENGINES | ONE_SHOT | {"gateway", "worker-stages", "worker-gather"}
OPTIONAL = {
    "candidate": "candidate", "pinned": "pinned", "generator": "generator", "generator-model": "generator"
}  # fmt: skip
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def compose(text: str) -> dict[str, Any]:
    return _load(text, {"POSTGRES_PASSWORD": "s3cret"})


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> Services:
    return compose["services"]


def test_it_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    _validate(compose)


def test_the_gpu_override_in_its_comments_follows_the_specification(text: str, services: Services) -> None:
    override = yaml.safe_load(
        "\n".join(line.removeprefix("#| ") for line in text.splitlines() if line.startswith("#| "))
    )

    _validate(override)
    assert override["services"].keys() == {"backend", "worker-stages"}
    assert override["services"].keys() <= services.keys()


def test_only_the_password_has_to_be_given(text: str) -> None:
    required = {name for name, operator, _ in _VARIABLE.findall(text) if operator != ":-"}

    assert required == {"POSTGRES_PASSWORD"}


def test_only_the_gateway_is_published_and_only_on_loopback(services: Services) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert published == {"gateway": ["127.0.0.1:8080:8080"]}
    assert not [name for name, service in services.items() if service.get("network_mode") == "host"]


def test_the_backend_is_reached_by_the_gateway_and_the_workers_only(services: Services) -> None:
    trusted = {"gateway", "worker-stages", "worker-gather"}
    # They share a network with the backend, but nobody sends them requests that they would pass on.
    passive = {"postgres", "valkey", "migrate", "seed", "candidate", "pinned", "generator"}

    neighbors = {
        name
        for name, service in services.items()
        if name != "backend" and set(service["networks"]) & set(services["backend"]["networks"])
    }

    assert _members(services, "inference") == trusted | ENGINES
    assert neighbors <= trusted | passive


def test_all_but_the_gateway_and_the_seed_are_cut_off_from_the_world(
    compose: dict[str, Any], services: Services
) -> None:
    open_networks = {
        name for name, network in compose["networks"].items() if not network.get("internal", False)
    }

    assert open_networks == {"edge"}
    assert _members(services, "edge") == {"gateway", "seed", "generator-model"}


def test_no_service_runs_as_root_or_can_become_root(services: Services) -> None:
    for name, service in services.items():
        # Our image names its user itself (test_image.py).
        assert name in OURS or not service["user"].startswith(("0", "root")), name
        assert "user" not in service or name not in OURS, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["read_only"] is True, name
        assert not service.get("privileged"), name
        assert "cap_add" not in service, name


def test_every_service_is_limited_and_restarted_as_it_should(services: Services) -> None:
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert limits.keys() == {"cpus", "memory"}, name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name
        assert service["logging"]["options"]["max-size"], name


def test_what_serves_has_a_healthcheck(services: Services) -> None:
    checked = {name for name, service in services.items() if "healthcheck" in service}

    assert checked == {"postgres", "valkey", "gateway"} | ENGINES
    assert "127.0.0.1:8000/health'" in services["backend"]["healthcheck"]["test"][-1]
    assert "127.0.0.1:8080/readyz'" in services["gateway"]["healthcheck"]["test"][-1]


def test_dependencies_can_be_met(services: Services) -> None:
    for name, service in services.items():
        for dependency, how in service.get("depends_on", {}).items():
            match how["condition"]:
                case "service_healthy":
                    assert "healthcheck" in services[dependency], (name, dependency)
                case "service_completed_successfully":
                    assert dependency in ONE_SHOT, (name, dependency)
                case condition:
                    assert condition == "service_started"


def test_more_engines_are_started_only_if_asked_for(
    text: str, services: Services, check_settings: Callable[[Mapping[str, str]], Settings]
) -> None:
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    plain = check_settings(services["worker-stages"]["environment"])
    asked = {
        "POSTGRES_PASSWORD": "s3cret",
        "CANDIDATE_URLS": '["http://candidate:8000"]',
        "PINNED_URLS": '["http://pinned:8000"]',
        "GENERATOR_URLS": '["http://generator:8000"]',
        "GENERATOR_MODEL": "owner/name",
    }
    chosen = _load(text, asked)["services"]
    settings = check_settings(chosen["worker-stages"]["environment"])

    assert profiles == {name: [profile] for name, profile in OPTIONAL.items()}
    assert (plain.candidate_urls, plain.pinned_urls, plain.generator_urls) == ([], [], [])
    assert settings.candidate_urls == ["http://candidate:8000"]
    assert settings.pinned_urls == ["http://pinned:8000"]
    assert settings.generator_urls == ["http://generator:8000"]
    assert settings.generator_model == "owner/name"
    # What was downloaded is served, by the name that the loop asks for.
    assert chosen["generator"]["command"][-1] == "owner/name"
    folder = chosen["generator-model"]["command"][-1]
    assert folder in chosen["generator"]["command"]


def test_the_schema_comes_before_the_seed_and_the_seed_before_all_else(services: Services) -> None:
    done = {"condition": "service_completed_successfully"}

    assert services["seed"]["depends_on"]["migrate"] == done
    for name in sorted(OURS - ONE_SHOT):
        assert services[name]["depends_on"]["seed"] == done, name


def test_every_volume_and_network_is_defined_and_used(compose: dict[str, Any], services: Services) -> None:
    mounted = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    joined = {network for service in services.values() for network in service["networks"]}

    assert mounted == set(compose["volumes"])
    assert joined == set(compose["networks"])


def test_weights_are_written_by_the_seed_and_the_workers_only(services: Services) -> None:
    mounts = {name: mount for name in OURS for mount in services[name].get("volumes", [])}

    writers = {name for name, mount in mounts.items() if not mount.endswith(":ro")}

    assert writers == {"seed", "worker-stages", "worker-gather", "generator-model"}
    assert {mount.split(":")[1] for mount in mounts.values()} == {"/var/lib/judgesmith"}


@pytest.mark.parametrize("name", sorted(OURS - {"gateway"}))
def test_its_command_exists(
    name: str, services: Services, check_command: Callable[[list[str]], None]
) -> None:
    check_command(services[name]["command"])


@pytest.mark.parametrize("name", sorted(OURS))
def test_its_settings_exist_and_are_accepted(
    name: str, services: Services, check_settings: Callable[[Mapping[str, str]], Settings]
) -> None:
    settings = check_settings(services[name]["environment"])

    assert settings.auth == "keys"
    assert settings.models_dir == Path("/var/lib/judgesmith/models")
    assert settings.backend_urls == ["http://backend:8000"]


def test_the_password_is_in_one_variable_of_each_service(services: Services) -> None:
    for name, service in services.items():
        holders = [key for key, value in service.get("environment", {}).items() if "s3cret" in str(value)]
        assert holders == ({"postgres": ["POSTGRES_PASSWORD"], "valkey": []}.get(name, ["PGPASSWORD"])), name


def test_nothing_is_killed_while_it_drains(services: Services) -> None:
    def grace(name: str) -> int:
        return int(services[name]["stop_grace_period"].removesuffix("s"))

    line = engine.command(Path("model"), host="127.0.0.1", port=8000, max_model_len=4096)

    assert grace("backend") > int(line[line.index("--shutdown-timeout") + 1])
    assert grace("gateway") > 60
    assert grace("worker-stages") > 120
    assert grace("worker-gather") > 120
    # Compose stops in reverse order of dependency: the gateway drains while the backend still answers.
    for name in ("gateway", "worker-stages", "worker-gather"):
        assert "backend" in services[name]["depends_on"]


def test_postgres_keeps_its_data_on_the_volume(services: Services) -> None:
    # Version 18 moved it; a volume at the old path would stay empty and the data be lost with the container.
    assert services["postgres"]["image"] == "postgres:18"
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_valkey_keeps_every_job(services: Services) -> None:
    command = services["valkey"]["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert services["valkey"]["volumes"] == ["valkey:/data"]


def test_vllm_has_more_shared_memory_than_docker_gives(services: Services) -> None:
    assert services["backend"]["shm_size"] == services["worker-stages"]["shm_size"] == "1g"


def _members(services: Services, network: str) -> set[str]:
    return {name for name, service in services.items() if network in service["networks"]}


def _load(text: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Parse and put in the variables, in values only, as Compose does."""

    def value_of(match: re.Match[str]) -> str:
        return variables.get(match[1], match[3] if match[2] == ":-" else "")

    def put_in(node: Any) -> Any:
        match node:
            case dict():
                return {key: put_in(value) for key, value in node.items()}
            case list():
                return [put_in(value) for value in node]
            case str():
                return _VARIABLE.sub(value_of, node)
        return node

    return put_in(yaml.safe_load(text))


def _validate(document: dict[str, Any]) -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(document, json.loads(schema.read_text()))
