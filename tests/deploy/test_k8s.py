"""k8s/: what kustomize makes of it is valid, runs without privileges, and talks only where it must."""

import subprocess
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from judge.backend import engine
from judge.settings import Settings
from service.__main__ import GRACE_S

Resource = dict[str, Any]
Labels = Mapping[str, str]

OUR_IMAGE = "judgesmith"
_WORKLOADS = {"Deployment", "StatefulSet", "Job"}
EXTRA = {"candidate", "pinned", "generator", "generator-model"}
# What is rendered, with what it has beside the processes that are always there.
OVERLAYS: dict[str, set[str]] = {"base": set(), "overlays/gpu": set(), "overlays/engines": EXTRA}
CALLERS = {"gateway", "worker-stages", "worker-gather"}
# Who may reach what, at which port. Engines ask the database at their start which version is the champion.
REACHED_BY = {
    "backend": (8000, CALLERS),
    "postgres": (5432, CALLERS | {"setup", "backend", "candidate", "pinned"}),
    "valkey": (6379, CALLERS | {"setup"}),
    "candidate": (8000, CALLERS),
    "pinned": (8000, CALLERS),
    "generator": (8000, {"worker-stages", "worker-gather"}),
}


def _render(folder: Path) -> list[Resource]:
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    run = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return list(yaml.safe_load_all(run.stdout))


@pytest.fixture(scope="module", params=list(OVERLAYS))
def resources(request: pytest.FixtureRequest, root: Path) -> list[Resource]:
    return _render(root / "k8s" / request.param)


@pytest.fixture(scope="module")
def pods(resources: list[Resource]) -> dict[str, Resource]:
    """The pod templates, by the name of what makes them."""
    return {
        resource["metadata"]["name"]: resource["spec"]["template"]
        for resource in resources
        if resource["kind"] in _WORKLOADS
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


def test_no_pod_runs_as_root_or_speaks_to_the_cluster(pods: dict[str, Resource]) -> None:
    for name, pod in pods.items():
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys(), name


def test_no_container_has_privileges_or_a_writable_root(containers: dict[str, Resource]) -> None:
    for name, container in containers.items():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


def test_the_namespace_refuses_privileged_pods(resources: list[Resource]) -> None:
    (namespace,) = _of_kind(resources, "Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_our_containers_run_as_the_user_of_the_image(
    pods: dict[str, Resource], ours: dict[str, Resource]
) -> None:
    for name in {name.split("/")[0] for name in ours}:
        context = pods[name]["spec"]["securityContext"]
        assert [context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")] == [10001] * 3, name


def test_no_pod_gets_variables_named_after_services(pods: dict[str, Resource]) -> None:
    # A Service called `judgesmith` would set JUDGESMITH_PORT to "tcp://…", which is no port.
    assert [name for name, pod in pods.items() if pod["spec"]["enableServiceLinks"] is not False] == []


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
    (scaler,) = _of_kind(resources, "HorizontalPodAutoscaler")
    (budget,) = _of_kind(resources, "PodDisruptionBudget")
    gateway = _named(resources, "Deployment", "gateway")

    assert scaler["spec"]["scaleTargetRef"]["name"] == "gateway"
    assert scaler["spec"]["minReplicas"] == 2
    assert budget["spec"]["minAvailable"] == 1
    # Else every apply would fight the autoscaler.
    assert "replicas" not in gateway["spec"]


def test_only_one_worker_trains_at_a_time(resources: list[Resource]) -> None:
    stages = _named(resources, "Deployment", "worker-stages")

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
        matched = {
            pod for pod, template in pods.items() if _selects(selector, template["metadata"]["labels"])
        }
        assert matched == {name}, f"{resource['kind']} {name} selects {matched}"


def test_services_lead_to_open_ports(resources: list[Resource], pods: dict[str, Resource]) -> None:
    for service in _of_kind(resources, "Service"):
        (container,) = pods[service["metadata"]["name"]]["spec"]["containers"]
        names = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} == names


def test_every_claim_volume_and_mount_is_defined(
    resources: list[Resource], pods: dict[str, Resource]
) -> None:
    claims = {claim["metadata"]["name"] for claim in _of_kind(resources, "PersistentVolumeClaim")}
    templates = {
        resource["metadata"]["name"]: {
            template["metadata"]["name"] for template in resource["spec"].get("volumeClaimTemplates", [])
        }
        for resource in resources
        if resource["kind"] in _WORKLOADS
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
    configmaps = {item["metadata"]["name"] for item in _of_kind(resources, "ConfigMap")}
    secret = yaml.safe_load((root / "k8s" / "secret.example.yaml").read_text())

    for name, container in containers.items():
        for source in container.get("envFrom", []):
            assert source["configMapRef"]["name"] in configmaps, name
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                assert reference["name"] == secret["metadata"]["name"], name
                assert reference["key"] in secret["stringData"], name


def test_the_secret_is_not_deployed(resources: list[Resource]) -> None:
    assert _of_kind(resources, "Secret") == []


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
    (configmap,) = _of_kind(resources, "ConfigMap")

    for container in ours.values():
        own = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
        settings = check_settings({**configmap["data"], **own})
        assert settings.auth == "keys"
        assert settings.models_dir == Path("/var/lib/judgesmith/models")


def test_every_pod_of_the_backend_is_listed_by_its_name(
    resources: list[Resource], check_settings: Callable[[Mapping[str, str]], Settings]
) -> None:
    (configmap,) = _of_kind(resources, "ConfigMap")
    backend = _named(resources, "StatefulSet", "backend")
    service = _named(resources, "Service", backend["spec"]["serviceName"])

    urls = check_settings(configmap["data"]).backend_urls

    assert urls == [f"http://backend-{n}.backend:8000" for n in range(backend["spec"]["replicas"])]
    assert service["spec"]["clusterIP"] == "None"


def test_more_engines_are_asked_by_their_names(
    root: Path, check_settings: Callable[[Mapping[str, str]], Settings]
) -> None:
    resources = _render(root / "k8s" / "overlays" / "engines")
    (configmap,) = _of_kind(resources, "ConfigMap")
    own = {name: _named(resources, "StatefulSet", name) for name in ("candidate", "pinned")}
    generator = _named(resources, "Deployment", "generator")

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


def test_weights_are_written_by_the_seed_and_the_workers_only(ours: dict[str, Resource]) -> None:
    writers = {
        name.split("/")[0]
        for name, container in ours.items()
        for mount in container["volumeMounts"]
        if mount["name"] == "home" and not mount.get("readOnly")
    }

    assert writers - {"generator-model"} == {"setup", "worker-stages", "worker-gather"}


def test_the_weights_can_be_shared_between_nodes(resources: list[Resource]) -> None:
    (claim,) = _of_kind(resources, "PersistentVolumeClaim")

    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_vllm_has_more_shared_memory_than_a_container_gets(pods: dict[str, Resource]) -> None:
    for name in ("backend", "worker-stages"):
        volumes = {volume["name"]: volume for volume in pods[name]["spec"]["volumes"]}
        mounts = {m["name"]: m["mountPath"] for m in pods[name]["spec"]["containers"][0]["volumeMounts"]}
        assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
        assert mounts["shm"] == "/dev/shm"


def test_only_the_backend_and_the_training_take_a_gpu(root: Path) -> None:
    takers, tolerant, images = set(), set(), set()
    for resource in _render(root / "k8s" / "overlays" / "gpu"):
        if resource["kind"] in _WORKLOADS:
            spec, name = resource["spec"]["template"]["spec"], resource["metadata"]["name"]
            tolerant |= {name for item in spec.get("tolerations", []) if item["key"] == "nvidia.com/gpu"}
            for container in spec["containers"]:
                images |= {container["image"]} if container["image"].startswith(OUR_IMAGE) else set()
                takers |= {name} if container["resources"]["limits"].get("nvidia.com/gpu") == 1 else set()

    assert takers == tolerant == {"backend", "worker-stages"}
    assert images == {"judgesmith:0.1.0-gpu"}


# --- who may talk to whom


def test_by_default_nothing_talks(resources: list[Resource]) -> None:
    policy = _named(resources, "NetworkPolicy", "default-deny")

    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize(
    ("resources", "target"),
    [
        (overlay, target)
        for overlay, extra in OVERLAYS.items()
        for target in REACHED_BY
        if target not in EXTRA - extra
    ],
    indirect=["resources"],
)
def test_it_is_reached_by_those_alone_that_need_it(
    target: str, resources: list[Resource], pods: dict[str, Resource]
) -> None:
    policies = _of_kind(resources, "NetworkPolicy")
    labels = {name: pod["metadata"]["labels"] for name, pod in pods.items()}
    port, callers = REACHED_BY[target]
    allowed = callers & pods.keys()

    admitted = {
        name
        for name in pods
        if name != target and _admits(policies, "ingress", "from", labels[target], labels[name], port)
    }
    sent = {
        name
        for name in pods
        if name != target and _admits(policies, "egress", "to", labels[name], labels[target], port)
    }

    assert admitted == allowed
    assert admitted & sent == allowed
    # Not from other namespaces or from outside the cluster either.
    assert not _admits(policies, "ingress", "from", labels[target], None, port)


def test_the_world_reaches_the_gateway_and_only_the_setup_reaches_the_world(
    resources: list[Resource], pods: dict[str, Resource]
) -> None:
    policies = _of_kind(resources, "NetworkPolicy")
    labels = {name: pod["metadata"]["labels"] for name, pod in pods.items()}

    entered = {name for name in pods if _admits(policies, "ingress", "from", labels[name], None, 8080)}
    left = {name for name in pods if _admits(policies, "egress", "to", labels[name], None, 443)}

    assert entered == {"gateway"}
    assert left - {"generator-model"} == {"setup"}


def _admits(
    policies: list[Resource], direction: str, peers: str, subject: Labels, peer: Labels | None, port: int
) -> bool:
    """Whether the policies on `subject` let it talk with `peer` (None: anything outside the namespace)."""
    for policy in policies:
        spec = policy["spec"]
        if not _selects(spec["podSelector"], subject):
            continue
        for rule in spec.get(direction, []):
            if port in {item["port"] for item in rule.get("ports", [{"port": port}])} and (
                peers not in rule or any(_is_peer(item, peer) for item in rule[peers])
            ):
                return True
    return False


def _is_peer(item: Resource, labels: Labels | None) -> bool:
    # Other namespaces are let in or asked nowhere but for DNS, which has a port of its own.
    if "namespaceSelector" in item:
        return labels is None
    return labels is not None and _selects(item["podSelector"], labels)


def _selects(selector: Resource, labels: Labels) -> bool:
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", [])
    assert all(item["operator"] == "In" for item in expressions)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(item["key"]) in item["values"] for item in expressions
    )


def _of_kind(resources: list[Resource], kind: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] == kind]


def _named(resources: list[Resource], kind: str, name: str) -> Resource:
    (found,) = [item for item in _of_kind(resources, kind) if item["metadata"]["name"] == name]
    return found
