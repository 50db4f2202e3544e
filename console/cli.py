"""The `oms` command: which commands there are, and what is said about them.

Invariant: this is the one place that names commands. It must never do what one of them asks for.
"""

import io
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from console import admin, audit, demo, importing, instruments, place, processes, serve, up
from console.fleet import MODULES, NAMES
from console.options import DEFAULT_TARGET, Everywhere


def main() -> None:
    """Runs the command that was typed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A stream that cannot show a character shows another, and no command fails of it.
            stream.reconfigure(errors="replace")
    build()()


def build() -> typer.Typer:
    """The command with all its commands."""
    app = _group(HELP)
    app.callback(help=HELP)(everywhere)
    app.command(help=up.HELP)(up.up)
    app.add_typer(_serve(), name="serve")
    app.command("demo", help=demo.HELP)(demo.demo)

    app.command("audit", help=audit.HELP)(audit.audit)

    for name, text in (
        ("explore", instruments.EXPLORE_HELP),
        ("simulate", instruments.SIMULATE_HELP),
    ):
        app.command(name, help=text, context_settings=serve.PASSED_ON, add_help_option=False)(
            instruments.instrument(name)
        )

    order = _group("Places orders: one, or a file of them.")
    order.command(help=place.HELP)(place.place)
    order.command("import", help=importing.HELP)(importing.import_orders)
    app.add_typer(order, name="order")

    process = _group("Shows, follows and cancels order processes.")
    process.command("list")(processes.list_processes)
    process.command()(processes.get)
    process.command()(processes.watch)
    process.command()(processes.cancel)
    app.add_typer(process, name="process")

    operators = _group("What operators do with processes that are PARKED.")
    operators.command()(admin.parked)
    operators.command()(admin.retry)
    operators.command()(admin.resolve)
    app.add_typer(operators, name="admin")
    return app


HELP = """
Orders, driven through the order, payment and delivery services by sagas.

To begin: `oms demo` shows everything in a few seconds; `oms up` runs the
services and says what to try.

Every command explains itself with --help; those that ask or show something
speak JSON with --json.
"""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oms {version('oms')}")
        raise typer.Exit


def everywhere(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Option(
            envvar="OMS_TARGET",
            metavar="HOST:PORT",
            help="The orchestrator. Several: dns:///HOST:PORT, or ipv4:ADDRESS:PORT,ADDRESS:PORT.",
        ),
    ] = DEFAULT_TARGET,
    show_version: Annotated[  # noqa: ARG001 - its callback has shown it
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Reads what stands before the command."""
    ctx.obj = Everywhere(target=target)


def _serve() -> typer.Typer:
    group = _group(serve.HELP)
    for name in NAMES:
        group.command(
            name,
            help=f"Runs {MODULES[name]}; its --help lists its settings.",
            context_settings=serve.PASSED_ON,
            add_help_option=False,
        )(serve.command(name))
    return group


def _group(text: str) -> typer.Typer:
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
