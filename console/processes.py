"""`oms process`: list, get, watch and cancel order processes.

Invariant: reads show what the server said at one moment; the only write is a cancel, for which
one process is named. This module must never change a process on the way to showing it.
"""

import asyncio
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, Final

import typer

from console import exits, rendering
from console.exits import Exit
from console.following import RESTING, follow
from console.options import AsJson, TargetOption, parse_moment, target_of
from console.patience import Until
from console.place import rest
from console.progress import Progress
from console.terminal import BadInput, Terminal, as_dict
from console.wire import CallFailed, Connection, connect
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
    OrderProcessState,
)
from oms.orchestrator.v1.order_process_service_pb2 import (
    CancelOrderProcessRequest,
    GetOrderProcessRequest,
    ListOrderProcessesRequest,
    ListOrderProcessesResponse,
)

PAGE_SIZE_MAX: Final = 1_000


class State(StrEnum):
    """The states of a process, as --state takes them."""

    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    PARKED = "PARKED"


class By(StrEnum):
    """Which id a process is named by."""

    AUTO = "auto"
    PROCESS = "process"
    REQUEST = "request"
    ORDER = "order"


Key = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A process id (prc_…), an order id (ord_…), or a request id.",
        show_default=False,
    ),
]
ByOption = Annotated[
    By,
    typer.Option(
        "--by",
        metavar="KIND",
        help="What ID is: process, request or order; auto goes by how it begins.",
        case_sensitive=False,
    ),
]


def list_processes(
    ctx: typer.Context,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE",
            help="Only RUNNING, COMPENSATING, COMPLETED, CANCELLED or PARKED. Repeat it.",
        ),
    ] = None,
    customer: Annotated[str, typer.Option(help="Only of this customer.", show_default=False)] = "",
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only accepted at this time or later.", show_default=False
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only accepted before this time.", show_default=False),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=PAGE_SIZE_MAX, help="How many at the most.")
    ] = 20,
    page_token: Annotated[
        str, typer.Option(help="Go on where the list before ended.", show_default=False)
    ] = "",
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Lists processes, newest first.

    Times are ISO 8601, UTC where they name no zone.

    For example:

      oms process list
      oms process list --state RUNNING --state COMPENSATING
      oms process list --customer c1 --since 2026-11-23T05:00 --limit 100
      oms process list --json | jq -r '.processes[].process_id'

    Exit codes: 0 listed, 2 bad input, 1 anything else.
    """
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        request = ListOrderProcessesRequest(
            page_size=limit,
            page_token=page_token,
            states=[_state(it) for it in state or ()],
            customer_id=customer,
            create_time_after=parse_moment(since) if since else None,
            create_time_before=parse_moment(before) if before else None,
        )
        reply = asyncio.run(_list(target_of(ctx, target), request))
    terminal.document(as_dict(reply))
    if not reply.processes:
        terminal.say("No processes.")
    else:
        terminal.say(rendering.process_table(reply.processes, at=rendering.now()))
    if reply.next_page_token and not as_json:
        terminal.note(f"There are more: --page-token {reply.next_page_token}", style="dim")


def get(
    ctx: typer.Context,
    *,
    key: Key,
    by: ByOption = By.AUTO,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Shows one process: its steps and undos, with tries, times and reasons.

    For example:

      oms process get prc_06ft5m3v0nsxq8zv3bq7h1d2ka
      oms process get ord_06ft5m3v0nsxq8zv3bq7h1d2ka
      oms process get shop-1042
      oms process get prc_odd_but_a_request_id --by request

    Exit codes: 0 found, 2 bad input, 1 anything else, for example not found.
    """
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        process = asyncio.run(_get(target_of(ctx, target), key_request(key, by)))
    terminal.document({"process": as_dict(process)})
    terminal.say(rendering.process_detail(process, at=rendering.now()))


def watch(
    ctx: typer.Context,
    *,
    key: Key,
    by: ByOption = By.AUTO,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Stop watching after this long.", show_default=False
        ),
    ] = None,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Shows the history of a process, event by event, and follows it.

    Ends when the process is settled. A PARKED process is watched on: somebody
    may retry or resolve it. Restarts of the orchestrator are ridden over.

    For example:

      oms process watch prc_06ft5m3v0nsxq8zv3bq7h1d2ka
      oms process watch shop-1042 --timeout 60
      oms process watch shop-1042 --json | jq -r .event.kind

    Exit codes:

      0  COMPLETED
      3  CANCELLED
      4  PARKED when the time was over
      5  still going when the time was over
      2  bad input
      1  anything else, for example not found
    """
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        request = key_request(key, by)
        process = asyncio.run(_watch(terminal, target_of(ctx, target), request, Until(timeout)))
    terminal.say(rendering.process_heading(process, at=rendering.now()))
    raise typer.Exit(exits.of_process(process))


def cancel(
    ctx: typer.Context,
    *,
    key: Key,
    reason: Annotated[str, typer.Option(help="Why, for the history.", show_default=False)] = "",
    by: ByOption = By.AUTO,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until everything is undone.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long --wait waits.")
    ] = 120.0,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Stops a process from going forward and has everything undone.

    After COMPLETED that is a return.

    For example:

      oms process cancel shop-1042 --reason "changed my mind"
      oms process cancel prc_06ft5m3v0nsxq8zv3bq7h1d2ka --reason "sent back" --wait

    Exit codes:

      0  the wish is stored (with --wait: CANCELLED)
      4  PARKED
      5  still going when the time was over
      2  bad input
      1  anything else, for example that it is too late for a return
    """
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        progress = Progress(terminal, f"cancelling {key}")
        with progress.shown():
            process = asyncio.run(
                _cancel(
                    target_of(ctx, target),
                    key_request(key, by),
                    reason,
                    Until(timeout),
                    progress,
                    wait=wait,
                )
            )
    terminal.document({"process": as_dict(process)})
    terminal.say(rendering.process_detail(process, at=rendering.now()))
    if process.state not in RESTING:
        terminal.say(
            "The cancel is stored: no further step is begun, and what was done is undone. "
            f"See it with: oms process watch {process.process_id}"
        )
    if not wait:
        return
    ended = exits.of_process(process)
    raise typer.Exit(Exit.DONE if ended is Exit.CANCELLED else ended)


def key_request(key: str, by: By) -> GetOrderProcessRequest:
    """Asks for a process by the id that was typed."""
    if not key:
        raise BadInput("An empty id names no process.")
    match by:
        case By.AUTO if key.startswith("prc_"):
            return GetOrderProcessRequest(process_id=key)
        case By.AUTO if key.startswith("ord_"):
            return GetOrderProcessRequest(order_id=key)
        case By.PROCESS:
            return GetOrderProcessRequest(process_id=key)
        case By.ORDER:
            return GetOrderProcessRequest(order_id=key)
        case By.AUTO | By.REQUEST:
            return GetOrderProcessRequest(request_id=key)


async def read_process(connection: Connection, request: GetOrderProcessRequest) -> OrderProcess:
    """One process, by any of its ids."""
    return (await connection.call(connection.processes.GetOrderProcess, request)).process


def _state(text: str) -> OrderProcessState.ValueType:
    name = text.upper()
    if name not in State.__members__:
        raise BadInput(f'--state "{text}" is none of {", ".join(State)}.')
    return OrderProcessState.Value(f"ORDER_PROCESS_STATE_{name}")


async def _list(target: str, request: ListOrderProcessesRequest) -> ListOrderProcessesResponse:
    async with connect(target) as connection:
        return await connection.call(connection.processes.ListOrderProcesses, request)


async def _get(target: str, request: GetOrderProcessRequest) -> OrderProcess:
    async with connect(target) as connection:
        return await read_process(connection, request)


async def _watch(
    terminal: Terminal, target: str, request: GetOrderProcessRequest, until: Until
) -> OrderProcess:
    away = False

    def trouble(failed: CallFailed) -> None:
        nonlocal away
        if not away and not terminal.as_json:
            terminal.note(f"{failed.sentence()} Trying again.", style="yellow")
        away = True

    def answered() -> None:
        nonlocal away
        if not terminal.as_json:
            terminal.note("It answers again.")
        away = False

    async with connect(target) as connection:
        process = await read_process(connection, request)
        events = follow(
            connection,
            process.process_id,
            after_revision=0,
            present_revision=process.revision,
            until=until,
            trouble=trouble,
            answered=answered,
        )
        async with aclosing(events):
            async for told in events:
                process = told.process
                terminal.line(as_dict(told))
                terminal.say(rendering.event_line(told.event))
    return process


async def _cancel(
    target: str,
    request: GetOrderProcessRequest,
    reason: str,
    until: Until,
    progress: Progress,
    *,
    wait: bool,
) -> OrderProcess:
    async with connect(target) as connection:
        process_id = request.process_id or (await read_process(connection, request)).process_id
        wish = CancelOrderProcessRequest(process_id=process_id, reason=reason)
        process = (await connection.call(connection.processes.CancelOrderProcess, wish)).process
        progress.saw(process)
        # A return begins at COMPLETED: it is over only once it is CANCELLED, or stuck.
        ends = RESTING - {ORDER_PROCESS_STATE_COMPLETED}
        if not wait or process.state in ends:
            return process
        return await rest(connection, process, until=until, progress=progress, ends=ends)
