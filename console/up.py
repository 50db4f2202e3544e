"""`oms up`: all four services, kept running in the foreground.

Invariant: what this prints as ready to paste works at the moment it is printed; and when it ends,
no service is left. This module must never decide when a service is restarted or stopped: the
supervisor does.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, assert_never

import typer
from rich.table import Table
from rich.text import Text

from console.exits import Exit
from console.fleet import (
    NAMES,
    ORCHESTRATOR,
    Fleet,
    check_ports,
    databases_of,
    default_listens,
    free_ports,
    listens_of,
)
from console.log_line import compact, whole
from console.options import DEFAULT_TARGET, AsJson
from console.supervisor import CannotRun, Happening, Kind, Patience, Supervisor
from console.terminal import BadInput, Terminal

_DATA: Final = Path("var")
_NAME_WIDTH: Final = max(map(len, NAMES))
_NAME_STYLES: Final = dict(zip(NAMES, ("cyan", "blue", "magenta", "yellow"), strict=True))


def up(
    *,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where the four SQLite databases are, and the sandbox gateway's.",
            show_default="var",
        ),
    ] = None,
    ports_from: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_532,
            metavar="PORT",
            help="Four ports from here on: orchestrator, order, payment, delivery.",
            show_default="50051",
        ),
    ] = None,
    any_ports: Annotated[bool, typer.Option("--free-ports", help="Any four free ports.")] = False,
    quiet_logs: Annotated[
        bool, typer.Option("--quiet-logs", help="Do not show the logs of the services.")
    ] = False,
    stop_timeout: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Kill a service that takes longer than this to stop."
        ),
    ] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Runs the four services."""
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        if any_ports and ports_from is not None:
            raise BadInput("--free-ports or --ports-from: one of them.")
        # Ports that were asked for are meant for all: for targets too.
        environ = dict(os.environ)
        if any_ports or ports_from is not None:
            for name in NAMES:
                environ.pop(f"OMS_{name.upper()}_LISTEN", None)
                environ.pop(f"OMS_{name.upper()}_TARGET", None)
        if any_ports:
            listens = listens_of(free_ports())
        elif ports_from is not None:
            listens = listens_of(range(ports_from, ports_from + len(NAMES)))
        else:
            listens = default_listens(environ)
        fleet = Fleet(listens=listens, database_urls=databases_of(environ, data_dir, _DATA))
        showing = Showing(terminal, fleet, quiet_logs=quiet_logs)
        try:
            check_ports(listens)
        except CannotRun as problem:
            terminal.refuse(str(problem))
            raise typer.Exit(Exit.CONFIGURATION) from None
        try:
            asyncio.run(_run(fleet, environ, showing, Patience(stop_seconds=stop_timeout)))
        except CannotRun as problem:
            # A person was told when it happened.
            if as_json:
                terminal.refuse(str(problem))
            raise typer.Exit(Exit.CONFIGURATION) from None


HELP: Final = """
Runs the four services in the foreground, and restarts any that dies.

Each is a process with a database of its own.

Once all are SERVING it prints calls to paste. Ctrl-C (or SIGTERM) drains: the
orchestrator first, then the others; a second Ctrl-C kills. Nothing that was
accepted is lost either way.

Settings in the environment (OMS_*, see `oms serve order --help` and the like)
go to the services; --data-dir and the ports given here win over them.

For example:

  oms up
  oms up --data-dir /srv/oms --quiet-logs
  oms up --free-ports --json

With --json every happening is a line: started, serving, all_serving (with the
addresses), log lines, died, stopping, stopped.

Exit codes:

  0   stopped as it was told to
  78  the services cannot run as they are set up: a port in use, a newer database
  2   bad input
  1   anything else
"""


async def _run(
    fleet: Fleet, environ: Mapping[str, str], showing: "Showing", patience: Patience
) -> None:
    stop, kill = asyncio.Event(), asyncio.Event()

    def told() -> None:
        if stop.is_set():
            kill.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told)
    supervisor = Supervisor(fleet.services(environ), report=showing.happened, patience=patience)
    await supervisor.run(stop, kill)


class Showing:
    """What `oms up` shows of what happens."""

    def __init__(self, terminal: Terminal, fleet: Fleet, *, quiet_logs: bool) -> None:
        self._terminal = terminal
        self._fleet = fleet
        self._quiet_logs = quiet_logs
        self._told_how = False

    def happened(self, it: Happening) -> None:
        """Shows one happening, at once."""
        if it.kind is Kind.LINE and self._quiet_logs:
            return
        if self._terminal.as_json:
            self._terminal.line(self._document(it))
            return
        if it.name:
            line = Text().append(it.name.ljust(_NAME_WIDTH), style=_NAME_STYLES.get(it.name, ""))
            self._terminal.out.print(line.append("  ").append_text(self._text(it)), soft_wrap=True)
        elif it.kind is Kind.STOPPING:
            if it.text:
                self._terminal.note(it.text, style="bold red")
            self._terminal.say(Text("Stopping; once more kills.", style="dim"))
        elif it.kind is Kind.STOPPED:
            self._terminal.say(Text("Stopped.", style="dim"))
        elif it.kind is Kind.ALL_SERVING and not self._told_how:
            self._told_how = True
            for part in ready_to_paste(self._fleet):
                # What is to be pasted is never broken to the width of the terminal.
                self._terminal.out.print(part, soft_wrap=True)

    def _text(self, it: Happening) -> Text:
        """What happened to one service."""
        match it.kind:
            case Kind.LINE:
                return compact(it.text) if self._terminal.out.is_terminal else whole(it.text)
            case Kind.STARTED:
                return Text(f"started, pid {it.pid}", style="dim")
            case Kind.SERVING:
                return Text(f"SERVING at {self._fleet.addresses[it.name]}", style="green")
            case Kind.DIED:
                again = f"Starting it again in {it.restart_in_seconds:.1f} s."
                return Text(f"died: {it.text}. {again}", style="bold red")
            case Kind.KILLED:
                return Text("took too long to stop: killed", style="bold red")
            case Kind.ALL_SERVING | Kind.STOPPING | Kind.STOPPED:
                return Text()
            case _:
                assert_never(it.kind)

    def _document(self, it: Happening) -> dict[str, object]:
        document: dict[str, object] = {"event": "log" if it.kind is Kind.LINE else it.kind.value}
        if it.name:
            document["service"] = it.name
        match it.kind:
            case Kind.LINE:
                document["line"] = it.text
            case Kind.STARTED:
                document["pid"] = it.pid
            case Kind.SERVING:
                document["address"] = self._fleet.addresses[it.name]
            case Kind.ALL_SERVING:
                document["addresses"] = self._fleet.addresses
            case Kind.DIED:
                document |= {"code": it.code, "message": it.text}
                document["restart_in_seconds"] = it.restart_in_seconds
            case Kind.STOPPING if it.text:
                document["message"] = it.text
            case Kind.STOPPING | Kind.STOPPED | Kind.KILLED:
                pass
        return document


def ready_to_paste(fleet: Fleet) -> list[Text | Table]:
    """Where everything is, and what to try."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name in NAMES:
        table.add_row(Text(name, style=_NAME_STYLES[name]), fleet.addresses[name])
    target = fleet.addresses[ORCHESTRATOR]
    oms = "oms" if target == DEFAULT_TARGET else f"oms --target {target}"
    service = "oms.orchestrator.v1.OrderProcessService"
    commands = Path(sys.executable).parent
    return [
        Text("\nAll are SERVING. Ctrl-C stops them.\n", style="bold green"),
        table,
        Text("\nIn another terminal, so that oms and grpcurl are found:\n", style="bold"),
        Text(f'export PATH="{commands}:$PATH"'),
        Text("\nAn order, and what became of it:\n", style="bold"),
        Text(
            f"{oms} order place --customer c1 --item BOOK:2:12.50 \\\n"
            "  --payment-method pm_card_visa --recipient Ada --line '1 Market St' \\\n"
            "  --locality 'San Francisco' --postal-code 94105 --country US\n"
            f"{oms} process list\n"
        ),
        Text("The same with grpcurl:\n", style="bold"),
        Text(
            'grpcurl -plaintext -d \'{"request_id": "r1", "customer_id": "c1",\n'
            '  "items": [{"sku": "BOOK", "quantity": 2,\n'
            '    "unit_price": {"currency_code": "USD", "minor_units": "1250"}}],\n'
            '  "payment_method": "pm_card_visa",\n'
            '  "delivery_address": {"recipient": "Ada", "lines": ["1 Market St"],\n'
            '    "locality": "San Francisco", "postal_code": "94105",\n'
            '    "country_code": "US"}}\' \\\n'
            f"  {target} {service}/StartOrderProcess\n"
            f"grpcurl -plaintext {target} describe {service}\n"
        ),
    ]
