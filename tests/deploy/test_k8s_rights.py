"""What a pod may do: as whom it runs, and what it may write."""

from tests.deploy.kubernetes import Resource, of_kind


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
    (namespace,) = of_kind(resources, "Namespace")

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


def test_the_secret_is_not_deployed(resources: list[Resource]) -> None:
    assert of_kind(resources, "Secret") == []


def test_weights_are_written_by_the_seed_and_the_workers_only(ours: dict[str, Resource]) -> None:
    writers = {
        name.split("/")[0]
        for name, container in ours.items()
        for mount in container["volumeMounts"]
        if mount["name"] == "home" and not mount.get("readOnly")
    }

    assert writers - {"generator-model"} == {"setup", "worker-stages", "worker-gather"}
