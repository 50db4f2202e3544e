"""deploy/compose.yaml: against the published schema of compose files and against the code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.harness.compose import (
    COMPOSE,
    SECRET,
    example,
    postgres_options,
    read,
    seconds,
)
from tests.deploy.harness.image import DOCKERFILE, environment, instructions, last_stage
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

WHOLE = read(example())


def service(name: str) -> dict[str, Any]:
    found = WHOLE["services"][name]
    assert isinstance(found, dict)
    return found


def check(path: Path) -> subprocess.CompletedProcess[str]:
    """Against the schema that check-jsonschema brings."""
    return subprocess.run(
        [
            Path(sys.executable).with_name("check-jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_as_the_schema_has_it() -> None:
    run = check(COMPOSE)
    assert 0 == run.returncode, run.stdout


def test_a_key_that_the_schema_does_not_have_is_seen(tmp_path: Path) -> None:
    planted = tmp_path / "compose.yaml"
    planted.write_text(COMPOSE.read_text().replace("depends_on: &", "depend_on: &", 1))
    run = check(planted)
    assert 1 == run.returncode
    assert "depend_on" in run.stdout


def test_it_runs_the_four_services_and_one_postgres() -> None:
    assert {*SETTINGS, "postgres"} == set(WHOLE["services"])


def test_it_asks_for_nothing_that_the_example_does_not_name() -> None:
    for name in example():
        without = {other: SECRET for other in example() if other != name}
        with pytest.raises(AssertionError, match=f"{name} is not set: .*example"):
            read(without)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_takes_what_it_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = service(name)["environment"]
    image = environment(last_stage(instructions(DOCKERFILE.read_text())))
    settings = loaded(name, {**image, **told}, monkeypatch)
    assert database_settings(name) == {it for it in told if it.endswith("_URL")}
    assert ["oms", "serve", name] == service(name)["command"]
    fields = {f"OMS_{field.upper()}" for field in type(settings).model_fields}
    assert set() == set(told) - fields, "every name is one that this very service reads"


@pytest.mark.parametrize("name", PARTICIPANTS)
def test_every_replica_of_a_participant_is_dialled(name: str) -> None:
    target = service("orchestrator")["environment"][f"OMS_{name.upper()}_TARGET"]
    assert f"dns:///{name}:{port_of(LISTENS[name])}" == target
    assert service(name)["deploy"]["replicas"] >= 2


@pytest.mark.parametrize("name", SETTINGS)
def test_its_health_is_asked_for_by_the_name_of_its_service(name: str) -> None:
    _, hosted = HOSTED[name]
    *command, address, flag, asked = service(name)["healthcheck"]["test"]
    assert ["CMD", "python", "-m", "chassis.probe"] == command
    assert LISTENS[name] == address
    assert "--service" == flag
    assert asked in hosted


@pytest.mark.parametrize("name", SETTINGS)
def test_a_drain_has_the_time_that_it_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(name, service(name)["environment"], monkeypatch)
    assert seconds(service(name)["stop_grace_period"]) > drain_seconds_max(settings)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_waits_for_what_it_needs_to_be_well(name: str) -> None:
    needed = {"postgres", *(PARTICIPANTS if name == "orchestrator" else ())}
    assert {it: {"condition": "service_healthy"} for it in needed} == service(name)["depends_on"]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_can_do_no_more_than_it_needs(name: str) -> None:
    it = service(name)
    assert it["read_only"] is True
    assert ["ALL"] == it["cap_drop"]
    assert ["no-new-privileges:true"] == it["security_opt"]
    assert "user" not in it, "the image says which"


def test_nothing_is_published_beyond_this_machine() -> None:
    published = [port for it in WHOLE["services"].values() for port in it.get("ports", ())]
    (orchestrators,) = published
    host, ports, inner = orchestrators.split(":")
    first, last = (int(it) for it in ports.split("-"))
    assert "127.0.0.1" == host
    assert port_of(LISTENS["orchestrator"]) == int(inner)
    assert service("orchestrator")["deploy"]["replicas"] == last - first + 1


def test_postgres_keeps_its_data_and_is_durable() -> None:
    it = service("postgres")
    assert "postgres:/var/lib/postgresql" in it["volumes"]
    assert "postgres" in WHOLE["volumes"]
    told = postgres_options(it["command"])
    assert set() == {"fsync", "full_page_writes", "synchronous_commit"} & set(told)


def test_postgres_makes_the_roles_and_schemas_that_the_urls_name() -> None:
    mounts = [it.split(":") for it in service("postgres")["volumes"] if it.startswith("./")]
    ((source, inside, mode),) = mounts
    sql = (COMPOSE.parent / source).read_text()
    assert ("/docker-entrypoint-initdb.d/init.sql", "ro") == (inside, mode)
    urls = [
        value
        for name in SETTINGS
        for key, value in service(name)["environment"].items()
        if key.endswith("_URL")
    ]
    assert 5 == len(urls)
    for url in urls:
        role = url.removeprefix("postgresql://").partition(":")[0]
        schema = url.partition("?schema=")[2]
        assert role == schema
        assert f"CREATE ROLE {role} LOGIN" in sql
        assert f"CREATE SCHEMA {schema} AUTHORIZATION {role};" in sql
    for variable in example():
        assert variable in service("postgres")["environment"]
