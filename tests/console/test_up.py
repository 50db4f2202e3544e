"""`oms up`: what it shows, and what it refuses."""

import io
import json
import socket
from pathlib import Path

import pytest
from rich.console import Console

from console.exits import Exit
from console.fleet import Fleet, databases_in, listens_of, ports_from, schemas_in
from console.supervisor import Happening, Kind
from console.terminal import Terminal
from console.up import Showing
from tests.console.harness.command import oms

FLEET = Fleet(listens=listens_of([7001, 7002, 7003, 7004]), database_urls=databases_in(Path("var")))
LOG = '{"timestamp": "2026-11-23T06:13:11.313456Z", "level": "info", "event": "serving"}'
LIFE = [
    Happening(kind=Kind.STARTED, name="order", pid=42),
    Happening(kind=Kind.LINE, name="order", text=LOG),
    Happening(kind=Kind.SERVING, name="order"),
    Happening(kind=Kind.ALL_SERVING),
    Happening(
        kind=Kind.DIED, name="order", code=-9, text="killed by SIGKILL", restart_in_seconds=0.2
    ),
    Happening(kind=Kind.ALL_SERVING),
    Happening(kind=Kind.STOPPING),
    Happening(kind=Kind.KILLED, name="order"),
    Happening(kind=Kind.STOPPED),
]


def shown(
    happenings: list[Happening],
    *,
    as_json: bool = False,
    quiet: bool = False,
    terminal: bool = False,
    fleet: Fleet = FLEET,
) -> list[str]:
    out = io.StringIO()
    console = Console(
        file=out, width=100, force_terminal=terminal, no_color=True, markup=False, highlight=False
    )
    showing = Showing(Terminal(out=console, err=console, as_json=as_json), fleet, quiet_logs=quiet)
    for it in happenings:
        showing.happened(it)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_every_line_says_whose_it_is() -> None:
    lines = shown(LIFE)
    assert [
        "order         started, pid 42",
        f"order         {LOG}",
        "order         SERVING at 127.0.0.1:7002",
    ] == lines[:3]
    assert [
        "order         died: killed by SIGKILL. Starting it again in 0.2 s.",
        "Stopping; once more kills.",
        "order         took too long to stop: killed",
        "Stopped.",
    ] == lines[-4:]


def test_who_was_drained_has_not_died() -> None:
    drained = Happening(
        kind=Kind.DIED, name="order", code=0, text="drained", restart_in_seconds=0.2
    )
    (line,) = shown([drained])
    assert "order         ended (drained). Starting it again in 0.2 s." == line


def test_in_a_terminal_log_lines_are_for_people() -> None:
    (line,) = shown(LIFE[1:2], terminal=True)
    assert "06:13:11.313" in line
    assert line.endswith("serving")


def test_logs_can_be_left_out() -> None:
    assert [] == shown(LIFE[1:2], quiet=True)


def test_what_to_try_is_told_once_with_the_ports_as_they_are() -> None:
    text = "\n".join(shown(LIFE))
    assert 1 == text.count("All are SERVING")
    assert 1 == text.count("export OMS_TARGET=127.0.0.1:7001\n")
    assert "\noms order place" in text
    assert "127.0.0.1:7001 oms.orchestrator.v1.OrderProcessService/StartOrderProcess" in text


def test_with_replicas_oms_is_told_of_all_orchestrators_and_grpcurl_of_one() -> None:
    fleet = Fleet(
        listens=listens_of(ports_from(7001, 2)), database_urls=schemas_in("postgresql://h/d")
    )
    happened = [Happening(kind=Kind.SERVING, name="order-2"), Happening(kind=Kind.ALL_SERVING)]
    lines = shown(happened, fleet=fleet)
    assert "order-2         SERVING at 127.0.0.1:7012" == lines[0]
    text = "\n".join(lines)
    assert 1 == text.count("export OMS_TARGET=ipv4:127.0.0.1:7001,127.0.0.1:7011\n")
    assert "  127.0.0.1:7001 oms.orchestrator.v1.OrderProcessService/StartOrderProcess" in text
    (told,) = [json.loads(line) for line in shown(happened[1:], fleet=fleet, as_json=True)]
    assert "127.0.0.1:7012" == told["addresses"]["order-2"]
    assert "ipv4:127.0.0.1:7002,127.0.0.1:7012" == told["targets"]["order"]


def test_json_is_a_line_for_each_happening() -> None:
    told = [json.loads(line) for line in shown(LIFE, as_json=True)]
    events = ["started", "log", "serving", "all_serving", "died", "all_serving", "stopping"]
    assert [*events, "killed", "stopped"] == [it["event"] for it in told]
    assert {"event": "started", "service": "order", "pid": 42} == told[0]
    assert "127.0.0.1:7001" == told[3]["addresses"]["orchestrator"]


def test_why_it_stops_is_told_at_once() -> None:
    why = Happening(kind=Kind.STOPPING, text="order cannot start: no")
    assert "order cannot start: no" == shown([why])[0]
    assert "order cannot start: no" == json.loads(shown([why], as_json=True)[0])["message"]


def test_a_port_in_use_is_told_before_anything_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = oms("up", environ={"OMS_PAYMENT_LISTEN": f"127.0.0.1:{port}"})
    assert (Exit.CONFIGURATION, "") == (ran.exit, ran.out)
    assert f"127.0.0.1:{port} (payment)" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--free-ports", "--ports-from", "7001"),
        ("--ports-from", "65533"),
        ("--ports-from", "65530", "--replicas", "2", "--database-url", "postgresql://h/d"),
    ],
)
def test_ports_that_cannot_be_meant_are_bad_input(arguments: tuple[str, ...]) -> None:
    assert Exit.BAD_INPUT is oms("up", *arguments).exit


@pytest.mark.parametrize("where", [(), ("--data-dir", "var")])
def test_replicas_without_postgresql_are_bad_input_that_says_why(where: tuple[str, ...]) -> None:
    ran = oms("up", "--replicas", "2", *where)
    assert (Exit.BAD_INPUT, "") == (ran.exit, ran.out)
    assert "--database-url postgresql://" in ran.err
    assert "one orchestrator's alone" in ran.err


def test_a_database_is_one_or_a_folder_of_files_and_not_both() -> None:
    ran = oms("up", "--database-url", "postgresql://h/d", "--data-dir", "var")
    assert Exit.BAD_INPUT is ran.exit
