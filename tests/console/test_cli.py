"""The command line itself."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest
import typer

from console.cli import build
from console.exits import Exit
from tests.console.harness.command import OMS, oms
from tests.console.harness.fake_orchestrator import FakeOrchestrator


def paths(group: typer.core.TyperGroup, *before: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from paths(command, *before, name)
        else:
            yield (*before, name)


# They become another program, which explains itself.
BECOMING = {"serve", "explore", "simulate"}


def commands() -> list[tuple[str, ...]]:
    group = typer.main.get_command(build())
    assert isinstance(group, typer.core.TyperGroup)
    return [path for path in paths(group) if path[0] not in BECOMING]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_teaches_with_examples_and_exit_codes(command: tuple[str, ...]) -> None:
    ran = oms(*command, "--help")
    assert Exit.DONE is ran.exit
    assert f"  oms {' '.join(command)}" in ran.out
    for word in ("For example:", "Exit codes", "--json"):
        assert word in ran.out


@pytest.mark.parametrize("name", ["explore", "simulate"])
def test_a_command_that_would_take_the_place_of_the_tests_is_stopped(name: str) -> None:
    with pytest.raises(AssertionError, match="in place of the tests"):
        oms(name, "--help")


def test_without_a_command_it_says_which_there_are() -> None:
    ran = oms()
    for name in ("up", "demo", "serve", "order", "process", "admin"):
        assert f" {name} " in ran.out


def test_the_version_can_be_asked_for() -> None:
    assert oms("--version").out.startswith("oms 0.")


def test_a_target_on_the_command_line_wins_over_the_environment() -> None:
    environ = {"OMS_TARGET": "127.0.0.1:2"}
    assert "at 127.0.0.1:2 " in oms("process", "list", environ=environ).err
    assert (
        "at 127.0.0.1:1 " in oms("--target", "127.0.0.1:1", "process", "list", environ=environ).err
    )


def test_what_is_no_option_is_bad_input() -> None:
    assert Exit.BAD_INPUT is oms("process", "list", "--colour").exit


def test_bytes_that_are_not_utf_8_are_bad_input() -> None:
    ran = oms("process", "get", "r\udcff")
    assert (Exit.BAD_INPUT, "What was typed is not UTF-8.\n") == (ran.exit, ran.err)


def test_serve_becomes_the_service_with_all_that_follows() -> None:
    program = [*OMS, "serve", "order", "--help"]
    shown = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "OMS_ORDER_LISTEN" in shown


def test_a_setting_that_a_service_does_not_take_is_told_by_the_service() -> None:
    program = [*OMS, "serve", "order", "--json", "--order-listen", "nowhere"]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert Exit.BAD_INPUT == ran.returncode
    assert "OMS_ORDER_LISTEN" in ran.stderr


def in_a_terminal(*arguments: str, environ: Mapping[str, str]) -> str:
    """What a command shows in a terminal."""
    master, slave = pty.openpty()
    program = [sys.executable, "-m", "console", *arguments]
    process = subprocess.Popen(
        program,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", **environ},
    )
    os.close(slave)
    shown = b""
    with process, os.fdopen(master, "rb", buffering=0) as screen:
        try:
            while piece := screen.read(4096):
                shown += piece
        except OSError:
            # What Linux says in place of an end.
            pass
    return shown.decode()


ORDER = ("order", "place", "--customer", "c1", "--payment-method", "pm_card_visa")


@pytest.mark.usefixtures("orchestrator")
def test_a_terminal_has_colours() -> None:
    assert "\x1b[32mCOMPLETED\x1b[0m" in in_a_terminal(*ORDER, environ={})


@pytest.mark.usefixtures("orchestrator")
def test_a_terminal_without_colours_has_none() -> None:
    shown = in_a_terminal(*ORDER, environ={"NO_COLOR": "1"})
    assert "COMPLETED" in shown
    assert "\x1b[32m" not in shown


def test_json_in_a_terminal_is_json_alone(orchestrator: FakeOrchestrator) -> None:
    shown = in_a_terminal(*ORDER, "--json", environ={})
    assert "\x1b" not in shown
    assert orchestrator.process(next(iter(orchestrator.kept))).process_id in shown
