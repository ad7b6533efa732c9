"""Who may speak to whom in the cluster."""

import pytest

from tests.deploy.kubernetes import CALLERS, EXTRA, OVERLAYS, Labels, Resource, named, of_kind, selects

# Who may reach what, at which port. Engines ask the database at their start which version is the champion.
REACHED_BY = {
    "backend": (8000, CALLERS),
    "postgres": (5432, CALLERS | {"setup", "backend", "candidate", "pinned"}),
    "valkey": (6379, CALLERS | {"setup"}),
    "candidate": (8000, CALLERS),
    "pinned": (8000, CALLERS),
    "generator": (8000, {"worker-stages", "worker-gather"}),
}


def test_by_default_nothing_talks(resources: list[Resource]) -> None:
    policy = named(resources, "NetworkPolicy", "default-deny")

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
    policies = of_kind(resources, "NetworkPolicy")
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
    policies = of_kind(resources, "NetworkPolicy")
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
        if not selects(spec["podSelector"], subject):
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
    return labels is not None and selects(item["podSelector"], labels)
