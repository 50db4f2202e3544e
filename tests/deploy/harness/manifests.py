"""What `kubectl apply -k` would send to a cluster: each overlay as kustomize makes it.

Invariant: it is the real kustomize that reads deploy/kubernetes/, the one inside kubectl. Must
never: reach for a cluster; `kubectl kustomize` does not, and is given no configuration.
"""

import functools
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[3]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
OVERLAYS: Final = ("base", "overlays/production", "overlays/trial")
KUBECTL: Final = Path(sys.executable).with_name("kubectl")

Resource = dict[str, Any]


@functools.cache
def built(overlay: str) -> tuple[Resource, ...]:
    """Every resource of an overlay. Not to be changed: they are shared."""
    return build(KUBERNETES / overlay)


def build(folder: Path) -> tuple[Resource, ...]:
    """Every resource of a kustomization."""
    run = subprocess.run(
        [KUBECTL, "kustomize", folder],
        capture_output=True,
        text=True,
        check=False,
        env={"KUBECONFIG": "/dev/null", "PATH": ""},
    )
    assert run.returncode == 0, run.stderr
    return tuple(yaml.safe_load_all(run.stdout))


def of_kind(overlay: str, kind: str) -> dict[str, Resource]:
    """The resources of one kind, by name."""
    return {it["metadata"]["name"]: it for it in built(overlay) if it["kind"] == kind}


def one(overlay: str, kind: str, prefix: str) -> Resource:
    """The resource whose name begins so: what is generated ends in a hash."""
    (found,) = [it for name, it in of_kind(overlay, kind).items() if name.startswith(prefix)]
    return found


def deployment(overlay: str, service: str) -> Resource:
    """The Deployment of a service."""
    return of_kind(overlay, "Deployment")[f"oms-{service}"]


def pod(resource: Resource) -> Resource:
    """The specification of a resource's pods."""
    spec: Resource = resource["spec"]["template"]["spec"]
    return spec


def container(resource: Resource) -> Resource:
    """The only container of a resource's pods."""
    (found,) = pod(resource)["containers"]
    assert isinstance(found, dict)
    return found


def labels(resource: Resource) -> Mapping[str, str]:
    """The labels of a resource's pods."""
    found: Mapping[str, str] = resource["spec"]["template"]["metadata"]["labels"]
    return found


def selected(overlay: str, selector: Mapping[str, str]) -> set[str]:
    """The Deployments and StatefulSets whose pods carry all of these labels."""
    return {
        it["metadata"]["name"]
        for it in built(overlay)
        if it["kind"] in {"Deployment", "StatefulSet"} and selector.items() <= labels(it).items()
    }
