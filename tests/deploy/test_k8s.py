"""k8s/: what kustomize makes of it is valid, runs without privileges, and talks only where it must."""

from collections.abc import Callable, Mapping
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from judge.backend import engine
from judge.settings import Settings
from service.__main__ import GRACE_S
from tests.deploy.kubernetes import (
    EXTRA,
    OUR_IMAGE,
    WORKLOADS,
    Resource,
    named,
    of_kind,
    render,
    selects,
)


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_every_resource_follows_the_schema(resources: list[Resource], version: str) -> None:
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_all_processes_are_there(pods: dict[str, Resource]) -> None:
    assert pods.keys() - EXTRA == {
        "postgres", "valkey", "setup", "backend", "gateway", "worker-stages", "worker-gather"
    }  # fmt: skip
    assert pods.keys() & EXTRA in (set(), EXTRA)


def test_everything_is_in_the_namespace(resources: list[Resource]) -> None:
    spaces = {
        resource["metadata"].get("namespace") for resource in resources if resource["kind"] != "Namespace"
    }

    assert spaces == {"judgesmith"}


# --- privileges


# --- resources, probes, ends


def test_every_container_says_what_it_needs(containers: dict[str, Resource]) -> None:
    for name, container in containers.items():
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name


def test_what_serves_has_probes_and_nothing_else(containers: dict[str, Resource]) -> None:
    for name, container in containers.items():
        probes = container.keys() & {"startupProbe", "readinessProbe", "livenessProbe"}
        assert len(probes) == (3 if "ports" in container else 0), name


def test_probes_ask_the_right_paths(containers: dict[str, Resource]) -> None:
    gateway, backend = containers["gateway/gateway"], containers["backend/backend"]

    assert gateway["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert gateway["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert backend["readinessProbe"]["httpGet"] == {"path": "/health", "port": "http"}


def test_the_backend_has_ten_minutes_to_start(containers: dict[str, Resource]) -> None:
    probe = containers["backend/backend"]["startupProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] == 600


def test_nothing_is_killed_while_it_drains(
    pods: dict[str, Resource], containers: dict[str, Resource]
) -> None:
    def grace(name: str) -> int:
        return int(pods[name]["spec"]["terminationGracePeriodSeconds"])

    gateway = containers["gateway/gateway"]
    pause = int(gateway["lifecycle"]["preStop"]["exec"]["command"][-1])
    line = engine.command(Path("model"), host="127.0.0.1", port=8000, max_model_len=4096)

    assert grace("gateway") > pause + GRACE_S
    assert grace("backend") > int(line[line.index("--shutdown-timeout") + 1])
    assert grace("worker-stages") > 120
    assert grace("worker-gather") > 120


def test_at_least_two_gateways_run_and_one_stays(resources: list[Resource]) -> None:
    (scaler,) = of_kind(resources, "HorizontalPodAutoscaler")
    (budget,) = of_kind(resources, "PodDisruptionBudget")
    gateway = named(resources, "Deployment", "gateway")

    assert scaler["spec"]["scaleTargetRef"]["name"] == "gateway"
    assert scaler["spec"]["minReplicas"] == 2
    assert budget["spec"]["minAvailable"] == 1
    # Else every apply would fight the autoscaler.
    assert "replicas" not in gateway["spec"]


def test_only_one_worker_trains_at_a_time(resources: list[Resource]) -> None:
    stages = named(resources, "Deployment", "worker-stages")

    assert stages["spec"]["replicas"] == 1
    assert stages["spec"]["strategy"] == {"type": "Recreate"}


# --- references


def test_selectors_match_the_pods_they_mean(resources: list[Resource], pods: dict[str, Resource]) -> None:
    for resource in resources:
        name, spec = resource["metadata"]["name"], resource.get("spec", {})
        match resource["kind"]:
            case "Service":
                selector = {"matchLabels": spec["selector"]}
            case "Deployment" | "StatefulSet" | "PodDisruptionBudget":
                selector = spec["selector"]
            case _:
                continue
        matched = {pod for pod, template in pods.items() if selects(selector, template["metadata"]["labels"])}
        assert matched == {name}, f"{resource['kind']} {name} selects {matched}"


def test_services_lead_to_open_ports(resources: list[Resource], pods: dict[str, Resource]) -> None:
    for service in of_kind(resources, "Service"):
        (container,) = pods[service["metadata"]["name"]]["spec"]["containers"]
        names = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} == names


def test_every_claim_volume_and_mount_is_defined(
    resources: list[Resource], pods: dict[str, Resource]
) -> None:
    claims = {claim["metadata"]["name"] for claim in of_kind(resources, "PersistentVolumeClaim")}
    templates = {
        resource["metadata"]["name"]: {
            template["metadata"]["name"] for template in resource["spec"].get("volumeClaimTemplates", [])
        }
        for resource in resources
        if resource["kind"] in WORKLOADS
    }

    for name, pod in pods.items():
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        used = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in volumes.values()
            if "persistentVolumeClaim" in volume
        }
        mounted = {
            mount["name"]
            for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
            for mount in container.get("volumeMounts", [])
        }
        assert used <= claims, name
        assert mounted == volumes.keys() | templates[name], name


def test_every_configmap_and_secret_key_is_defined(
    root: Path, resources: list[Resource], containers: dict[str, Resource]
) -> None:
    configmaps = {item["metadata"]["name"] for item in of_kind(resources, "ConfigMap")}
    secret = yaml.safe_load((root / "k8s" / "secret.example.yaml").read_text())

    for name, container in containers.items():
        for source in container.get("envFrom", []):
            assert source["configMapRef"]["name"] in configmaps, name
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                assert reference["name"] == secret["metadata"]["name"], name
                assert reference["key"] in secret["stringData"], name


def test_variables_are_set_before_others_use_them(containers: dict[str, Resource]) -> None:
    # Kubernetes leaves $(NAME) as it stands if NAME comes later.
    for name, container in containers.items():
        variables = [variable["name"] for variable in container.get("env", [])]
        if "JUDGESMITH_REDIS_URL" in variables:
            before = variables[: variables.index("JUDGESMITH_REDIS_URL")]
            assert "VALKEY_PASSWORD" in before, name


# --- what runs


def test_commands_exist(ours: dict[str, Resource], check_command: Callable[[list[str]], None]) -> None:
    for container in ours.values():
        check_command(container["command"])


def test_the_command_for_the_first_key_exists(root: Path, check_command: Callable[[list[str]], None]) -> None:
    readme = (root / "k8s" / "README.md").read_text()
    (line,) = [line for line in readme.splitlines() if "judgesmith keys create" in line]

    check_command(line[line.index("-- judgesmith") :].split()[1:])


def test_settings_exist_and_are_accepted(
    resources: list[Resource],
    ours: dict[str, Resource],
    check_settings: Callable[[Mapping[str, str]], Settings],
) -> None:
    (configmap,) = of_kind(resources, "ConfigMap")

    for container in ours.values():
        own = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
        settings = check_settings({**configmap["data"], **own})
        assert settings.auth == "keys"
        assert settings.models_dir == Path("/var/lib/judgesmith/models")


def test_every_pod_of_the_backend_is_listed_by_its_name(
    resources: list[Resource], check_settings: Callable[[Mapping[str, str]], Settings]
) -> None:
    (configmap,) = of_kind(resources, "ConfigMap")
    backend = named(resources, "StatefulSet", "backend")
    service = named(resources, "Service", backend["spec"]["serviceName"])

    urls = check_settings(configmap["data"]).backend_urls

    assert urls == [f"http://backend-{n}.backend:8000" for n in range(backend["spec"]["replicas"])]
    assert service["spec"]["clusterIP"] == "None"


def test_more_engines_are_asked_by_their_names(
    root: Path, check_settings: Callable[[Mapping[str, str]], Settings]
) -> None:
    resources = render(root / "k8s" / "overlays" / "engines")
    (configmap,) = of_kind(resources, "ConfigMap")
    own = {name: named(resources, "StatefulSet", name) for name in ("candidate", "pinned")}
    generator = named(resources, "Deployment", "generator")

    settings = check_settings(configmap["data"])

    assert {"candidate": settings.candidate_urls, "pinned": settings.pinned_urls} == {
        name: [f"http://{name}-{n}.{name}:8000" for n in range(engines["spec"]["replicas"])]
        for name, engines in own.items()
    }
    assert settings.generator_urls == ["http://generator:8000"]
    assert settings.generator_model
    (container,) = generator["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1] == "$(JUDGESMITH_GENERATOR_MODEL)"


def test_kubernetes_and_compose_run_the_same_commands(root: Path, ours: dict[str, Resource]) -> None:
    services = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    names = {
        "setup/migrate": "migrate",
        "setup/seed": "seed",
        "backend/backend": "backend",
        "worker-stages/worker": "worker-stages",
        "worker-gather/worker": "worker-gather",
        "candidate/candidate": "candidate",
        "pinned/pinned": "pinned",
        "generator/generator": "generator",
        "generator-model/download": "generator-model",
    }

    assert ours.keys() - names.keys() == {"gateway/gateway"}
    for container in names.keys() & ours.keys():
        # The model's name is a variable of Compose here and of the container there.
        command = [
            part.replace("$(JUDGESMITH_", "${").replace(")", ":-}") for part in ours[container]["command"]
        ]
        assert command == services[names[container]]["command"], container
    arguments = ", ".join(f'"{argument}"' for argument in ours["gateway/gateway"]["command"])
    assert f"CMD [{arguments}]\n" in (root / "Dockerfile").read_text()


def test_the_schema_comes_before_the_seed(pods: dict[str, Resource]) -> None:
    spec = pods["setup"]["spec"]

    assert [item["name"] for item in spec["initContainers"]] == ["wait-for-postgres", "migrate"]
    assert [item["name"] for item in spec["containers"]] == ["seed"]


def test_the_weights_can_be_shared_between_nodes(resources: list[Resource]) -> None:
    (claim,) = of_kind(resources, "PersistentVolumeClaim")

    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_vllm_has_more_shared_memory_than_a_container_gets(pods: dict[str, Resource]) -> None:
    for name in ("backend", "worker-stages"):
        volumes = {volume["name"]: volume for volume in pods[name]["spec"]["volumes"]}
        mounts = {m["name"]: m["mountPath"] for m in pods[name]["spec"]["containers"][0]["volumeMounts"]}
        assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
        assert mounts["shm"] == "/dev/shm"


def test_only_the_backend_and_the_training_take_a_gpu(root: Path) -> None:
    takers, tolerant, images = set(), set(), set()
    for resource in render(root / "k8s" / "overlays" / "gpu"):
        if resource["kind"] in WORKLOADS:
            spec, name = resource["spec"]["template"]["spec"], resource["metadata"]["name"]
            tolerant |= {name for item in spec.get("tolerations", []) if item["key"] == "nvidia.com/gpu"}
            for container in spec["containers"]:
                images |= {container["image"]} if container["image"].startswith(OUR_IMAGE) else set()
                takers |= {name} if container["resources"]["limits"].get("nvidia.com/gpu") == 1 else set()

    assert takers == tolerant == {"backend", "worker-stages"}
    assert images == {"judgesmith:0.1.0-gpu"}


# --- who may talk to whom
