"""`oms demo`: three orders on real processes, and what became of them everywhere.

Invariant: it leaves nothing behind, and succeeds only where every participant ended as the design
says. This module must never look anywhere but where any client can: at the services' own answers.
"""

import asyncio
import os
import signal
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.padding import Padding
from rich.text import Text

from console import rendering
from console.demo_orders import DEMO_ORDERS, DemoOrder, Ended, differences, ended
from console.exits import Exit
from console.fleet import ORCHESTRATOR, Fleet, databases_in, free_ports, listens_of
from console.log_line import compact
from console.options import AsJson
from console.patience import Until
from console.place import rest, start
from console.progress import Progress
from console.supervisor import CannotRun, Happening, Kind, Supervisor
from console.terminal import Terminal, as_dict
from console.wire import Connection, connect
from oms.orchestrator.v1.order_process_pb2 import OrderProcess

_ORDER_SECONDS: Final = 60.0
_LOG_LINES_MAX: Final = 200


def demo(*, as_json: AsJson = False) -> None:
    """Shows everything."""
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting(), tempfile.TemporaryDirectory(prefix="oms-demo-") as folder:
        try:
            shown = asyncio.run(_demo(terminal, Path(folder)))
        except CannotRun as problem:
            terminal.refuse(str(problem))
            raise typer.Exit(Exit.CONFIGURATION) from None
        except asyncio.CancelledError:
            raise typer.Exit(Exit.INTERRUPTED) from None
    wrong = [line for it in shown for line in it.differences]
    terminal.document({"as_expected": not wrong, "orders": [_document(it) for it in shown]})
    for line in wrong:
        terminal.note(f"Not as expected: {line}", style="bold red")
    if wrong:
        raise typer.Exit(Exit.FAILED)
    terminal.say(
        Text("\nAll three ended as they should. Try it yourself: make run", style="bold green")
    )


HELP: Final = """
Runs a delivered, a declined and an undeliverable order, and shows what happens.

Starts the four services on free ports, with their databases in a temporary
folder; places the orders; shows each timeline and how the order, the payment
and the delivery ended; checks that this is as it should be; stops everything
and removes the folder.

For example:

  oms demo
  oms demo --json | jq '.orders[].process.state'

Exit codes:

  0   all is as it should be
  1   something is not: it says what
  78  the services cannot run here
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One order of the demonstration, at its end."""

    order: DemoOrder
    process: OrderProcess
    ended: Ended
    differences: tuple[str, ...]


async def _demo(terminal: Terminal, folder: Path) -> list[Shown]:
    fleet = Fleet(listens=listens_of(free_ports()), database_urls=databases_in(folder))
    # What is set for other services is not for these.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
    logs: deque[Happening] = deque(maxlen=_LOG_LINES_MAX)

    def happened(it: Happening) -> None:
        if it.kind in {Kind.LINE, Kind.DIED}:
            logs.append(it)

    stop = asyncio.Event()
    supervisor = Supervisor(fleet.services(environ), report=happened)
    running = asyncio.create_task(supervisor.run(stop, kill=asyncio.Event()))
    # As Ctrl-C does; so that nothing is left behind either way.
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    try:
        with _waiting(
            terminal, "Starting the order, payment and delivery services and the orchestrator"
        ):
            await _serving(supervisor, running)
        terminal.say(Text("Four services, each a process with a database of its own.", style="dim"))
        async with connect(fleet.addresses[ORCHESTRATOR]) as connection:
            shown = [await _show(terminal, fleet, connection, order) for order in DEMO_ORDERS]
        if any(it.differences for it in shown):
            _tell(terminal, logs)
    except Exception:
        _tell(terminal, logs)
        raise
    finally:
        stop.set()
        with _waiting(terminal, "Stopping"):
            await asyncio.gather(running, return_exceptions=True)
    return shown


async def _serving(supervisor: Supervisor, running: asyncio.Task[None]) -> None:
    """Waits until all are SERVING; raises why they cannot be."""
    serving = asyncio.create_task(supervisor.all_serving())
    await asyncio.wait({serving, running}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    if running.done():
        running.result()


async def _show(
    terminal: Terminal, fleet: Fleet, connection: Connection, order: DemoOrder
) -> Shown:
    """Places an order, waits for its end, and shows what became of it."""
    terminal.say(Text(f"\n{order.title}", style="bold"))
    until = Until(_ORDER_SECONDS)
    progress = Progress(terminal, "under way", tells_steps=False)
    with progress.shown():
        process = await start(connection, order.request(), until=until, trouble=progress.trouble)
        progress.saw(process)
        process = await rest(connection, process, until=until, progress=progress)
    ends = await ended(fleet.addresses, process)
    now = rendering.now()
    terminal.say(
        Padding(rendering.process_heading(process, at=now), (0, 0, 1, 2), expand=False),
        Padding(rendering.steps_table(process, at=now), (0, 0, 1, 2), expand=False),
        Padding(_ends(ends), (0, 0, 0, 2), expand=False),
    )
    return Shown(
        order=order, process=process, ended=ends, differences=differences(order, process, ends)
    )


def _ends(ends: Ended) -> Text:
    text = Text()
    for name, state in ends.states().items():
        text.append("    " if text else "")
        text.append(f"{name} ", style="dim").append(state, style="bold")
    return text


def _document(shown: Shown) -> dict[str, object]:
    return {
        "title": shown.order.title,
        "process": as_dict(shown.process),
        "ended": shown.ended.states(),
        "differences": list(shown.differences),
    }


def _tell(terminal: Terminal, logs: deque[Happening]) -> None:
    """What the services said, for whoever has to find out why it went wrong."""
    for it in logs:
        terminal.note(f"{it.name}  {compact(it.text)}", style="dim")


@contextmanager
def _waiting(terminal: Terminal, what: str) -> Iterator[None]:
    if terminal.as_json or not terminal.out.is_terminal:
        if not terminal.as_json:
            terminal.note(f"{what} ...")
        yield
        return
    with terminal.out.status(Text(what, style="dim"), spinner="dots"):
        yield
