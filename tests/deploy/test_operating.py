"""docs/operating.md: whatever it names is there, and no alert is without a word on what to do."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from chassis.database import READERS
from chassis.postgres_engine import WRITERS
from console.cli import build
from orchestrator.audit.finding import Kind
from tests.deploy.harness import compose
from tests.deploy.harness.manifests import deployment, of_kind, pod
from tests.deploy.harness.operating import OPERATING, commands, events, spans, text
from tests.deploy.harness.services import KNOWN, SETTINGS, database_settings
from tests.rules.test_imports import SERVICES, modules_of

LOUD = frozenset({"warning", "error", "exception", "critical"})


def logged() -> Iterator[tuple[str, str]]:
    """Every event that the servers log, and how loudly: the name of the method, or of what says."""
    for package in ("chassis", *SERVICES, "orchestrator"):
        for path in modules_of(package):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id="_log"), attr=how),
                        args=[ast.Constant(value=str(event)), *_],
                    ):
                        yield event, how
                    case ast.Call(
                        func=ast.Name(id="say"), args=[ast.Constant(value=str(event)), *_]
                    ):
                        yield event, "say"
                    case _:
                        pass


def test_there_is_a_word_on_every_event_that_somebody_must_know_of() -> None:
    loud = {event for event, how in logged() if how in LOUD}
    assert "process_parked" in loud
    assert set() == loud - events(text()), "say in docs/operating.md what is to be done about it"


def test_every_event_that_it_names_is_logged() -> None:
    assert set() == events(text()) - {event for event, _ in logged()}


def test_an_event_that_nobody_logs_is_seen() -> None:
    planted = text().replace("| `gateway_defect`", "| `gateway_defected`")
    assert {"gateway_defected"} == events(planted) - {event for event, _ in logged()}


def test_every_setting_that_it_names_exists() -> None:
    assert set() == set(re.findall(r"\bOMS_[A-Z_]*[A-Z]", text())) - KNOWN


def test_every_finding_that_it_names_exists() -> None:
    endings = ("_MISSING", "_MISMATCH", "_PROCESS", "_CANCELLED")
    named = {it for it in spans(text()) if it.startswith("ORPHAN_") or it.endswith(endings)}
    assert len(named) >= 9
    assert set() == named - {kind.value for kind in Kind}


def follow(command: Any, words: list[str]) -> str | None:
    """What is wrong with a call of `oms`, if anything is. Typer brings a click of its own."""
    while words:
        word, *words = words
        options = {name: it for it in command.params for name in it.opts}
        if not word.startswith("-"):
            subcommands = getattr(command, "commands", None)
            if subcommands is not None and word not in subcommands:
                return f"there is no command {word}"
            command = command if subcommands is None else subcommands[word]
        elif word in options:
            words = words if options[word].is_flag else words[1:]
        # What `oms serve NAME` is given is the service's to read.
        elif not command.context_settings.get("ignore_unknown_options"):
            return f"{command.name} has no {word}"
    return None


OMS = typer.main.get_command(build())
CALLS = commands(text(), "oms")


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_every_command_that_it_names_is_one(words: list[str]) -> None:
    assert follow(OMS, words) is None


def test_a_command_that_is_none_is_seen() -> None:
    assert len(CALLS) > 8
    assert follow(OMS, ["admin", "retryy"]) == "there is no command retryy"
    assert follow(OMS, ["admin", "retry", "--every"]) == "retry has no --every"


def test_every_file_that_it_points_to_is_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text())
    assert len(targets) > 5
    assert [] == [it for it in targets if not (OPERATING.parent / it).exists()]


def test_every_deployment_that_it_names_is_in_production() -> None:
    named = set(re.findall(r"deployment/(oms-\w+)", text()))
    assert named
    assert named <= set(of_kind("overlays/production", "Deployment"))


def connections(replicas: dict[str, int]) -> int:
    """What so many replicas of each service take of PostgreSQL."""
    each = READERS + WRITERS
    return sum(count * each * len(database_settings(name)) for name, count in replicas.items())


def test_the_connections_are_what_the_code_opens_and_postgres_has_that_many() -> None:
    replicas = {
        name: deployment("overlays/production", name)["spec"]["replicas"] for name in SETTINGS
    }
    rolled = {name: count + 1 for name, count in replicas.items()}
    told = (
        f"{' / '.join(str(it) for it in replicas.values())} replicas: {connections(replicas)}, "
        f"rolled {connections(rolled)}. `max_connections` 200"
    )
    assert told in text()
    composed = compose.read(compose.example())["services"]
    options = compose.postgres_options(composed["postgres"]["command"])
    twice = {name: 2 * composed[name]["deploy"]["replicas"] for name in SETTINGS}
    # A superuser's few are kept back.
    assert connections(twice) <= int(options["max_connections"]) - 10
    assert connections(rolled) <= 200 - 10


def test_the_times_to_stop_are_those_of_the_manifests() -> None:
    kubernetes = {
        pod(deployment("overlays/production", it))["terminationGracePeriodSeconds"]
        for it in SETTINGS
    }
    composed = compose.read(compose.example())["services"]
    docker = {compose.seconds(composed[it]["stop_grace_period"]) for it in SETTINGS}
    assert f"({kubernetes.pop()} seconds in the manifests, {docker.pop()} in compose)" in text()
    assert set() == kubernetes | docker
