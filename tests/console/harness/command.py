"""The `oms` command, typed in this process or as a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from typer.testing import CliRunner

from console.cli import build
from console.exits import Exit

OMS = (sys.executable, "-m", "console")


class Ran:
    """A command that has ended."""

    def __init__(self, exit_code: int, out: str, err: str) -> None:
        self.exit = Exit(exit_code)
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def oms(*arguments: str, typed: str | None = None, environ: Mapping[str, str] | None = None) -> Ran:
    """Runs a command in this process, without a terminal.

    A command that becomes another program is an error: it would go on in place of the tests, and
    end them as if they had passed.
    """
    never = AssertionError(f"oms {' '.join(arguments)} would go on in place of the tests")
    # However wide the terminal of whoever runs the tests is.
    environment = {"COLUMNS": None, **(environ or {})}
    with mock.patch("os.execv", side_effect=never):
        result = CliRunner().invoke(build(), list(arguments), input=typed, env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def start_oms(*arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
    """Starts a command as a process of its own."""
    return subprocess.Popen(
        [*OMS, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
