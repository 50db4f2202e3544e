"""`oms serve`: one service in the foreground.

Invariant: this process becomes the service, so that signals, output and exit code are its own.
This module must never read a setting: whatever follows the service's name is the service's to
read.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import typer

from console.fleet import MODULES

# Nothing of a service's command line is ours, not even --help.
PASSED_ON: Final = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}

HELP: Final = """
Runs one service in the foreground.

What follows its name goes to the service, which explains itself with --help.

Settings are flags here or OMS_* variables; logs are JSON lines on stdout
(--log-format console: for a person). SIGTERM and Ctrl-C drain.

For example:

  oms serve order --help
  oms serve order --order-listen 127.0.0.1:50052 --order-database-url sqlite:///var/order.db
  OMS_PAYMENT_LISTEN=127.0.0.1:6053 oms serve payment

Exit codes are the service's:

  0   drained
  2   a setting is wrong
  75  it cannot start yet: what it needs is away just now
  78  it cannot start as it is set up
  1   anything else
"""


def command(name: str) -> Callable[[typer.Context], None]:
    """The command that becomes a service."""

    def serve(ctx: typer.Context) -> None:
        # --json, as every command takes it, is the service's own default.
        arguments = [it for it in ctx.args if it != "--json"]
        if len(arguments) < len(ctx.args):
            arguments = ["--log-format", "json", *arguments]
        become(MODULES[name], arguments)

    return serve


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """This process goes on as `python -m module arguments`."""
    sys.stdout.flush()
    sys.stderr.flush()
    program = [sys.executable, "-m", module, *arguments]
    os.execv(sys.executable, program)  # noqa: S606 - to become the other is what is asked
