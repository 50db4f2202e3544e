"""deploy/kubernetes/: as kustomize makes it, against the published schemas and against the code."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import utils as schemas

from chassis.health import LIVENESS
from console.fleet import MODULES
from tests.deploy.harness.image import DOCKERFILE, instructions
from tests.deploy.harness.manifests import (
    KUBERNETES,
    OVERLAYS,
    Resource,
    build,
    built,
    container,
    deployment,
    labels,
    of_kind,
    one,
    pod,
    selected,
)
from tests.deploy.harness.services import (
    LISTENS,
    PARTICIPANTS,
    SETTINGS,
    database_settings,
    drain_seconds_max,
    loaded,
    port_of,
)
from tests.system.harness.service import SERVICES as HOSTED

# The oldest whose schema there is, and the newest.
VERSIONS = ("1.33", schemas.latest_version())
DEPLOYED = [(overlay, service) for overlay in OVERLAYS for service in SETTINGS]


def settings_of(overlay: str) -> dict[str, str]:
    data: dict[str, str] = one(overlay, "ConfigMap", "oms-settings")["data"]
    return data


def environment_of(overlay: str, service: str) -> dict[str, str]:
    """What a container is told, with URLs where the overlay leaves them to somebody else."""
    url = f"postgresql://elsewhere/oms?schema=oms_{service}"
    return settings_of(overlay) | dict.fromkeys(database_settings(service), url)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_resource_is_as_the_schema_has_it(overlay: str, version: str) -> None:
    assert built(overlay)
    for resource in built(overlay):
        schemas.validate(resource, version, strict=True)


@pytest.mark.parametrize("wrong", ["replica", "name"])
def test_a_key_that_no_schema_has_is_seen(wrong: str) -> None:
    resource = copy.deepcopy(deployment("base", "order"))
    resource["spec"][wrong] = 2
    with pytest.raises(schemas.ValidationError):
        schemas.validate(resource, VERSIONS[-1], strict=True)


def test_a_file_that_is_not_there_is_seen(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [gone.yaml]\n")
    with pytest.raises(AssertionError, match=r"gone\.yaml"):
        build(tmp_path)


def test_every_file_is_part_of_a_kustomization() -> None:
    for folder in {path.parent for path in KUBERNETES.rglob("*.*")}:
        text = yaml.safe_load((folder / "kustomization.yaml").read_text())
        generated = [*text.get("configMapGenerator", ()), *text.get("secretGenerator", ())]
        named = {*text["resources"]} | {env for it in generated for env in it.get("envs", ())}
        assert {path.name for path in folder.glob("*.*")} == {
            "kustomization.yaml",
            *(name for name in named if "/" not in name),
        }


@pytest.mark.parametrize(("overlay", "service"), DEPLOYED)
def test_a_service_takes_what_it_is_told(
    overlay: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loaded(service, environment_of(overlay, service), monkeypatch)
    listen = getattr(settings, f"{service}_listen")
    assert f"0.0.0.0:{port_of(LISTENS[service])}" == listen
    assert ["oms", "serve", service] == container(deployment(overlay, service))["command"]
    assert service in MODULES


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_service_gets_its_own_urls_and_nobody_elses(overlay: str) -> None:
    for service in SETTINGS:
        config, secret = container(deployment(overlay, service))["envFrom"]
        assert (
            one(overlay, "ConfigMap", "oms-settings")["metadata"]["name"]
            == (config["configMapRef"]["name"])
        )
        name = secret["secretRef"]["name"]
        assert name.startswith(f"oms-{service}")
        if found := of_kind(overlay, "Secret").get(name):
            assert database_settings(service) == set(found["data"])
    assert not [name for name in settings_of(overlay) if name.endswith("_URL")]


def test_no_secret_is_kept_here_but_for_the_trial() -> None:
    assert {} == of_kind("base", "Secret") == of_kind("overlays/production", "Secret")
    assert {} != of_kind("overlays/trial", "Secret")


def test_the_secrets_to_be_created_are_named_where_it_is_said_how() -> None:
    told = (KUBERNETES / "overlays/production/kustomization.yaml").read_text()
    for service in SETTINGS:
        _, secret = container(deployment("overlays/production", service))["envFrom"]
        assert f"create secret generic {secret['secretRef']['name']} " in told


@pytest.mark.parametrize(("overlay", "service"), DEPLOYED)
def test_one_port_is_meant_everywhere(overlay: str, service: str) -> None:
    port = port_of(LISTENS[service])
    it = container(deployment(overlay, service))
    assert [{"name": "grpc", "containerPort": port}] == it["ports"]
    assert {port} == {it[probe]["grpc"]["port"] for probe in it if probe.endswith("Probe")}
    (exposed,) = of_kind(overlay, "Service")[f"oms-{service}"]["spec"]["ports"]
    assert (port, "grpc") == (exposed["port"], exposed["targetPort"])
    if service in PARTICIPANTS:
        target = settings_of(overlay)[f"OMS_{service.upper()}_TARGET"]
        assert f"dns:///oms-{service}:{port}" == target


@pytest.mark.parametrize(("overlay", "service"), DEPLOYED)
def test_only_readiness_asks_how_the_database_is(overlay: str, service: str) -> None:
    """A restart mends no database: see chassis.health."""
    it = container(deployment(overlay, service))
    _, hosted = HOSTED[service]
    assert it["readinessProbe"]["grpc"]["service"] in hosted
    assert LIVENESS == it["livenessProbe"]["grpc"]["service"]
    assert LIVENESS == it["startupProbe"]["grpc"]["service"]


@pytest.mark.parametrize(("overlay", "service"), DEPLOYED)
def test_a_drain_has_the_time_that_it_takes(
    overlay: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loaded(service, environment_of(overlay, service), monkeypatch)
    leaving = container(deployment(overlay, service))["lifecycle"]["preStop"]["sleep"]["seconds"]
    granted = pod(deployment(overlay, service))["terminationGracePeriodSeconds"]
    assert granted >= leaving + drain_seconds_max(settings)


@pytest.mark.parametrize(("overlay", "service"), DEPLOYED)
def test_a_roll_and_a_drained_node_leave_replicas_serving(overlay: str, service: str) -> None:
    spec = deployment(overlay, service)["spec"]
    assert spec["replicas"] >= 2
    assert {"maxUnavailable": 0, "maxSurge": 1} == spec["strategy"]["rollingUpdate"]
    budget = of_kind(overlay, "PodDisruptionBudget")[f"oms-{service}"]["spec"]
    assert (1, "AlwaysAllow") == (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"])


def selectors(overlay: str) -> list[tuple[str, dict[str, str]]]:
    """Everything that picks pods by their labels, and the labels."""
    found: list[tuple[str, dict[str, str]]] = []
    for it in built(overlay):
        name, spec = f"{it['kind']} {it['metadata']['name']}", it.get("spec", {})
        match it["kind"]:
            case "Service":
                found.append((name, spec["selector"]))
            case "PodDisruptionBudget" | "StatefulSet":
                found.append((name, spec["selector"]["matchLabels"]))
            case "NetworkPolicy":
                found.append((name, spec["podSelector"]["matchLabels"]))
            case "Deployment":
                found.append((name, spec["selector"]["matchLabels"]))
                found += [
                    (name, spread["labelSelector"]["matchLabels"])
                    for spread in pod(it)["topologySpreadConstraints"]
                ]
            case _:
                pass
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whatever_selects_pods_selects_those_of_its_name(overlay: str) -> None:
    assert len(selectors(overlay)) > 10
    for what, selector in selectors(overlay):
        name = what.split()[1].removesuffix("-all")
        everything = {f"oms-{service}" for service in SETTINGS}
        assert selected(overlay, selector) == (everything if name == "oms" else {name}), what


def peers(policy: Resource) -> list[tuple[dict[str, Any], list[int]]]:
    """Who may come in, and to which ports."""
    return [
        (peer, [it["port"] for it in rule["ports"]])
        for rule in policy["spec"].get("ingress", ())
        for peer in rule["from"]
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_participants_are_reached_by_orchestrators_alone(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    # Every pod of ours is held by a policy that lets nobody in, so what others let in is all.
    assert ["Ingress", "Egress"] == policies["oms"]["spec"]["policyTypes"]
    assert [] == peers(policies["oms"])
    for service in PARTICIPANTS:
        ((peer, ports),) = peers(policies[f"oms-{service}"])
        assert {"podSelector"} == set(peer)
        assert {"oms-orchestrator"} == selected(overlay, peer["podSelector"]["matchLabels"])
        assert [port_of(LISTENS[service])] == ports
    ((caller, ports),) = peers(policies["oms-orchestrator"])
    assert {"oms-client": "true"} == caller["podSelector"]["matchLabels"]
    assert [port_of(LISTENS["orchestrator"])] == ports


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_orchestrator_may_call_every_participant(overlay: str) -> None:
    policy = of_kind(overlay, "NetworkPolicy")["oms-orchestrator"]
    assert {f"oms-{service}": port_of(LISTENS[service]) for service in PARTICIPANTS} == {
        name: rule["ports"][0]["port"]
        for rule in policy["spec"]["egress"]
        for peer in rule["to"]
        for name in selected(overlay, peer["podSelector"]["matchLabels"])
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_can_do_no_more_than_they_need(overlay: str) -> None:
    workloads = [it for it in built(overlay) if it["kind"] in {"Deployment", "StatefulSet"}]
    assert len(workloads) >= len(SETTINGS)
    for it in workloads:
        context = pod(it)["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert {"type": "RuntimeDefault"} == context["seccompProfile"]
        assert pod(it)["automountServiceAccountToken"] is False
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container(it)["securityContext"]
        assert "memory" in container(it)["resources"]["limits"]
        assert {"cpu", "memory"} == set(container(it)["resources"]["requests"])


@pytest.mark.parametrize(("overlay", "service"), DEPLOYED)
def test_its_user_is_the_images_and_its_account_has_no_token(overlay: str, service: str) -> None:
    (user,) = [it.text for it in instructions(DOCKERFILE.read_text()) if it.name == "USER"]
    context = pod(deployment(overlay, service))["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    account = of_kind(overlay, "ServiceAccount")["oms"]
    assert account["automountServiceAccountToken"] is False
    assert "oms" == pod(deployment(overlay, service))["serviceAccountName"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_four_run_the_same_image(overlay: str) -> None:
    images = {container(deployment(overlay, service))["image"] for service in SETTINGS}
    assert 1 == len(images)
    assert overlay == "base" or ":" in images.pop(), "an overlay says which"


def test_replicas_are_told_apart_by_nothing_but_their_component() -> None:
    assert {
        service: {"app.kubernetes.io/name": "oms", "app.kubernetes.io/component": service}
        for service in SETTINGS
    } == {service: labels(deployment("base", service)) for service in SETTINGS}


def test_in_production_no_node_carries_two_orchestrators() -> None:
    spread = pod(deployment("overlays/production", "orchestrator"))["topologySpreadConstraints"]
    assert ["kubernetes.io/hostname"] == [
        it["topologyKey"] for it in spread if it["whenUnsatisfiable"] == "DoNotSchedule"
    ]
