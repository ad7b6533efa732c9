"""The manifests as `kubectl kustomize` renders them, for their tests."""

import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]
Labels = Mapping[str, str]

OUR_IMAGE = "judgesmith"
CALLERS = {"gateway", "worker-stages", "worker-gather"}
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
EXTRA = {"candidate", "pinned", "generator", "generator-model"}
# What is rendered, with what it has beside the processes that are always there.
OVERLAYS: dict[str, set[str]] = {"base": set(), "overlays/gpu": set(), "overlays/engines": EXTRA}


def render(folder: Path) -> list[Resource]:
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    run = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return list(yaml.safe_load_all(run.stdout))


def of_kind(resources: list[Resource], kind: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] == kind]


def named(resources: list[Resource], kind: str, name: str) -> Resource:
    (found,) = [item for item in of_kind(resources, kind) if item["metadata"]["name"] == name]
    return found


def selects(selector: Resource, labels: Labels) -> bool:
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", [])
    assert all(item["operator"] == "In" for item in expressions)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(item["key"]) in item["values"] for item in expressions
    )
