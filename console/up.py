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
    REPLICAS_MAX,
    Fleet,
    check_ports,
    check_shared,
    databases_of,
    default_listens,
    free_ports,
    listens_of,
    ports_from,
    schemas_in,
    service_of,
)
from console.log_line import compact, whole
from console.options import DEFAULT_TARGET, AsJson
from console.supervisor import CannotRun, Happening, Kind, Patience, Supervisor
from console.terminal import BadInput, Terminal

_START_SECONDS: Final = 60.0
_DATA: Final = Path("var")
_NAME_STYLES: Final = dict(zip(NAMES, ("cyan", "blue", "magenta", "yellow"), strict=True))

Replicas = Annotated[
    int,
    typer.Option(
        min=1,
        max=REPLICAS_MAX,
        metavar="N",
        help="How many of each service; several need PostgreSQL.",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A PostgreSQL database in which each service gets a schema of its own.",
        show_default=False,
    ),
]


def up(
    *,
    replicas: Replicas = 1,
    database_url: DatabaseUrl = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where the four SQLite databases are, and the sandbox gateway's.",
            show_default="var",
        ),
    ] = None,
    first_port: Annotated[
        int | None,
        typer.Option(
            "--ports-from",
            min=1,
            max=65_532,
            metavar="PORT",
            help="Four ports from here on: orchestrator, order, payment, delivery; "
            "each further replica's are 10 further on.",
            show_default="50051",
        ),
    ] = None,
    any_ports: Annotated[bool, typer.Option("--free-ports", help="Any free ports.")] = False,
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
        environ = dict(os.environ)
        fleet = _fleet(
            environ,
            replicas=replicas,
            database_url=database_url,
            data_dir=data_dir,
            first_port=first_port,
            any_ports=any_ports,
        )
        # They start at once, on the same machine.
        start_seconds = _START_SECONDS * replicas
        patience = Patience(start_seconds=start_seconds, stop_seconds=stop_timeout)
        showing = Showing(terminal, fleet, quiet_logs=quiet_logs)
        try:
            check_ports(fleet.listens)
        except CannotRun as problem:
            terminal.refuse(str(problem))
            raise typer.Exit(Exit.CONFIGURATION) from None
        try:
            asyncio.run(_run(fleet, environ, showing, patience))
        except CannotRun as problem:
            # A person was told when it happened.
            if as_json:
                terminal.refuse(str(problem))
            raise typer.Exit(Exit.CONFIGURATION) from None


HELP: Final = """
Runs the four services in the foreground, and restarts any that dies.

Each is a process with a database of its own: a SQLite file in --data-dir or,
with --database-url, a schema of one PostgreSQL database. Their names are
oms_order, oms_payment, oms_gateway, oms_delivery and oms_orchestrator; those
that are missing are created.

With --replicas N there are N of each, order-1 to order-N and so on, on one
PostgreSQL: the first on the usual ports, 50051 to 50054, the second on 50061
to 50064, and so on. The orchestrators dial all replicas of a participant, and
what is printed to paste dials all orchestrators. When one dies, the others go
on with what it had in hand; nothing is restarted but what died. So SIGTERM to
one after the other, by the pids shown, is a rolling restart.

Once all are SERVING it prints calls to paste. Ctrl-C (or SIGTERM) drains: the
orchestrators first, then the others; a second Ctrl-C kills. Nothing that was
accepted is lost either way.

Settings in the environment (OMS_*, see `oms serve order --help` and the like)
go to the services; --data-dir, --database-url and the ports given here win
over them.

For example:

  oms up
  oms up --data-dir /srv/oms --quiet-logs
  oms up --free-ports --json
  oms up --replicas 3 --database-url postgresql://oms:secret@127.0.0.1/oms

With --json every happening is a line: started, serving, all_serving (with the
address of each process and the target of each service), log lines, died,
stopping, stopped.

Exit codes:

  0   stopped as it was told to
  78  the services cannot run as they are set up: a port in use, a newer database
  2   bad input
  1   anything else
"""


def _fleet(
    environ: dict[str, str],
    *,
    replicas: int,
    database_url: str | None,
    data_dir: Path | None,
    first_port: int | None,
    any_ports: bool,
) -> Fleet:
    """What is to run. Takes out of `environ` what flags say otherwise; raises `BadInput`."""
    if any_ports and first_port is not None:
        raise BadInput("--free-ports or --ports-from: one of them.")
    if database_url is not None and data_dir is not None:
        raise BadInput("--database-url or --data-dir: one of them.")
    if any_ports or first_port is not None:
        # Ports that were asked for are meant for all: for targets too.
        for name in NAMES:
            environ.pop(f"OMS_{name.upper()}_LISTEN", None)
            environ.pop(f"OMS_{name.upper()}_TARGET", None)
    if any_ports:
        listens = listens_of(free_ports(replicas))
    elif first_port is not None:
        listens = listens_of(ports_from(first_port, replicas))
    else:
        listens = default_listens(environ, replicas)
    if database_url is not None:
        databases = schemas_in(database_url)
    else:
        databases = databases_of(environ, data_dir, _DATA)
    if replicas > 1:
        # What a flag has put aside was not meant.
        check_shared(databases, environ if data_dir is None else {})
    return Fleet(listens=listens, database_urls=databases)


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
        self._name_width = max(map(len, (*NAMES, *fleet.listens)))
        self._told_how = False

    def happened(self, it: Happening) -> None:
        """Shows one happening, at once."""
        if it.kind is Kind.LINE and self._quiet_logs:
            return
        if self._terminal.as_json:
            self._terminal.line(self._document(it))
            return
        if it.name:
            line = Text().append(it.name.ljust(self._name_width), style=_style(it.name))
            self._terminal.show(line.append("  ").append_text(self._text(it)), as_it_is=True)
        elif it.kind is Kind.STOPPING:
            if it.text:
                self._terminal.note(it.text, style="bold red")
            self._terminal.say(Text("Stopping; once more kills.", style="dim"))
        elif it.kind is Kind.STOPPED:
            self._terminal.say(Text("Stopped.", style="dim"))
        elif it.kind is Kind.ALL_SERVING and not self._told_how:
            self._told_how = True
            for part in ready_to_paste(self._fleet):
                self._terminal.show(part, as_it_is=True)

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
                ended = f"ended ({it.text})" if it.code == 0 else f"died: {it.text}"
                again = f"Starting it again in {it.restart_in_seconds:.1f} s."
                return Text(f"{ended}. {again}", style="yellow" if it.code == 0 else "bold red")
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
                document["targets"] = {it: self._fleet.target(it) for it in NAMES}
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
    for service in NAMES:
        for name in fleet.replicas(service):
            table.add_row(Text(name, style=_style(name)), fleet.addresses[name])
    target = fleet.target(ORCHESTRATOR)
    # grpcurl dials one server; any of them takes any call.
    one = fleet.addresses[fleet.replicas(ORCHESTRATOR)[0]]
    commands = Path(sys.executable).parent
    found = [Text(f'export PATH="{commands}:$PATH"')]
    if target != DEFAULT_TARGET:
        found.append(Text(f"export OMS_TARGET={target}"))
    interface = "oms.orchestrator.v1.OrderProcessService"
    return [
        Text("\nAll are SERVING. Ctrl-C stops them.\n", style="bold green"),
        table,
        Text(
            "\nIn another terminal, where oms, grpcurl and these services are to be found:\n",
            style="bold",
        ),
        *found,
        Text("\nAn order, and what became of it:\n", style="bold"),
        Text(
            "oms order place --customer c1 --item BOOK:2:12.50 \\\n"
            "  --payment-method pm_card_visa --recipient Ada --line '1 Market St' \\\n"
            "  --locality 'San Francisco' --postal-code 94105 --country US\n"
            "oms process list\n"
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
            f"  {one} {interface}/StartOrderProcess\n"
            f"grpcurl -plaintext {one} \\\n  describe {interface}\n"
        ),
    ]


def _style(name: str) -> str:
    return _NAME_STYLES[service_of(name)]
