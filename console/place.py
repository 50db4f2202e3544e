"""`oms order place`: one order, from what was typed to what became of it.

Invariant: every attempt to start it carries the same request id, so that one order is placed
however often the server had to be asked. This module must never judge an order: the server names
every field that is wrong.
"""

import asyncio
import re
import sys
import uuid
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.json_format import Parse, ParseError

from console import exits, rendering
from console.exits import Exit
from console.following import RESTING, follow
from console.money import parse_price
from console.options import AsJson, TargetOption, target_of
from console.patience import Backoff, Until
from console.progress import Progress
from console.terminal import BadInput, Terminal, as_dict
from console.wire import CALL_SECONDS, CallFailed, Connection, connect
from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1.order_process_pb2 import OrderProcess, OrderProcessState
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from oms.order.v1.order_pb2 import OrderItem

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
# What int() reads besides, such as 1_0, is more likely a slip.
_WHOLE: Final = re.compile(r"-?[0-9]+")
_WHOLE_LENGTH_MAX: Final = 20
_ORDER: Final = "The order"
_ADDRESS: Final = "Where it goes"


def _option(name: str, text: str, panel: str) -> object:
    return typer.Option(name, help=text, rich_help_panel=panel, show_default=False)


RequestId = Annotated[
    str | None,
    typer.Option(
        help="Your own id of this order, and what makes it safe to send again: the same id and "
        "content is the same process.",
        show_default="drawn",
    ),
]
FromJson = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Take the order from a StartOrderProcessRequest in protobuf JSON; - reads stdin.",
        show_default=False,
    ),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is settled or PARKED.")]
Timeout = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="How long to try, and to wait, in all.")
]


def place(
    ctx: typer.Context,
    *,
    customer: Annotated[str, _option("--customer", "Who orders.", _ORDER)] = "",
    item: Annotated[
        list[str] | None,
        _option("--item", "SKU:QTY:PRICE, for example BOOK:2:12.50. Repeat it.", _ORDER),
    ] = None,
    currency: Annotated[
        str, typer.Option(help="What the prices are in: ISO 4217.", rich_help_panel=_ORDER)
    ] = "USD",
    payment_method: Annotated[
        str, _option("--payment-method", "What pays, for example pm_card_visa.", _ORDER)
    ] = "",
    recipient: Annotated[str, _option("--recipient", "Who receives it.", _ADDRESS)] = "",
    line: Annotated[
        list[str] | None, _option("--line", "Street and house. Repeat it.", _ADDRESS)
    ] = None,
    locality: Annotated[str, _option("--locality", "City or town.", _ADDRESS)] = "",
    region: Annotated[str, _option("--region", "State, province or prefecture.", _ADDRESS)] = "",
    postal_code: Annotated[str, _option("--postal-code", "Postal code.", _ADDRESS)] = "",
    country: Annotated[str, _option("--country", "ISO 3166-1 alpha-2, as US.", _ADDRESS)] = "",
    request_id: RequestId = None,
    from_json: FromJson = None,
    wait: Wait = True,
    timeout: Timeout = 120.0,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Places an order."""
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        if request_id == "":
            # A script's variable that is not set: each run would place another order.
            raise BadInput("--request-id is empty; leave it out to have one drawn.")
        if from_json is not None:
            typed = [customer, item, payment_method, recipient, line, locality, region]
            if any([*typed, postal_code, country]):
                raise BadInput("--from-json brings the whole order: leave the other flags out.")
            request = read_request(from_json)
        else:
            request = StartOrderProcessRequest(
                customer_id=customer,
                items=[parse_item(text, currency) for text in item or ()],
                payment_method=payment_method,
            )
            address = Address(
                recipient=recipient,
                lines=line or (),
                locality=locality,
                region=region,
                postal_code=postal_code,
                country_code=country,
            )
            if address.ByteSize():
                request.delivery_address.CopyFrom(address)
        request.request_id = request_id or request.request_id or f"cli-{uuid.uuid4()}"
        request.return_immediately = True
        ordering = Ordering(
            target=target_of(ctx, target), request=request, wait=wait, timeout=timeout
        )
        raise typer.Exit(_run(terminal, ordering))


HELP: Final = """
Places one order and, unless told otherwise, waits for what becomes of it.

The order is safe with the orchestrator as soon as its process id is shown:
whether this command is interrupted or times out makes no difference to it.
Where the orchestrator cannot be reached, the order is sent again, with the
same request id, for as long as --timeout allows.

For example:

  oms order place --customer c1 --item BOOK:2:12.50 --payment-method pm_card_visa \\
      --recipient Ada --line "1 Market St" --locality "San Francisco" \\
      --postal-code 94105 --country US

  oms order place --from-json order.json --no-wait
  oms order place --from-json - --request-id shop-1042 --json < order.json

Exit codes:

  0  COMPLETED (with --no-wait: accepted)
  3  CANCELLED
  4  PARKED
  5  still going when the time was over
  2  bad input, by the server's judgement or before
  1  anything else, for example not reached
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """What is to be done."""

    target: str
    request: StartOrderProcessRequest
    wait: bool
    timeout: float


def parse_item(text: str, currency: str) -> OrderItem:
    """SKU:QTY:PRICE, from the right, for a SKU may have colons of its own."""
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not parts[0]:
        raise BadInput(f'--item "{text}" is not SKU:QTY:PRICE, for example BOOK:2:12.50.')
    sku, quantity, price = parts
    if not _WHOLE.fullmatch(quantity):
        raise BadInput(f'--item "{text}": "{quantity}" is not a whole number.')
    try:
        minor_units = parse_price(price, currency)
    except ValueError as error:
        raise BadInput(f'--item "{text}": {error}.') from None
    count = int(quantity) if len(quantity) <= _WHOLE_LENGTH_MAX else _INT32_MAX + 1
    if abs(count) > _INT32_MAX or abs(minor_units) > _INT64_MAX:
        raise BadInput(f'--item "{text}" is beyond all bounds.')
    unit_price = Money(currency_code=currency, minor_units=minor_units)
    return OrderItem(sku=sku, quantity=count, unit_price=unit_price)


def read_request(path: str) -> StartOrderProcessRequest:
    """The request in a file, or in what comes from stdin."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {_cause(error)}.") from None
    try:
        return Parse(text, StartOrderProcessRequest())
    except ParseError as error:
        where = "stdin" if path == "-" else path
        raise BadInput(f"{where} is not a StartOrderProcessRequest in JSON: {error}") from None


def _run(terminal: Terminal, ordering: Ordering) -> Exit:
    progress = Progress(terminal, f"request {ordering.request.request_id}")
    tries: list[CallFailed] = []

    def trouble(failed: CallFailed) -> None:
        tries.append(failed)
        progress.trouble(failed)

    try:
        with progress.shown():
            process = asyncio.run(_place(ordering, progress, trouble))
    except CallFailed as failed:
        terminal.report(failed)
        if failed.passing and not terminal.as_json:
            terminal.note(_whether_accepted([*tries, failed], ordering.request.request_id))
        raise typer.Exit(failed.exit) from None
    except KeyboardInterrupt:
        if progress.process is not None:
            terminal.note(_goes_on(progress.process))
        raise
    terminal.document({"process": as_dict(process)})
    show = rendering.process_detail if ordering.wait else rendering.process_heading
    terminal.say(show(process, at=rendering.now()))
    if process.state not in RESTING:
        terminal.say(_goes_on(process))
    if not ordering.wait:
        return Exit.DONE
    return exits.of_process(process)


def _whether_accepted(tries: Sequence[CallFailed], request_id: str) -> str:
    """What is known of an order that was not answered, by how each try went."""
    if not all(it.stored_nothing for it in tries):
        return (
            f"Whether it was accepted is not known. To ask again safely: --request-id {request_id}"
        )
    if all(it.never_sent for it in tries):
        return "It was not accepted: no server was ever reached."
    return "It was not accepted: there is no room for it now. Ask again later."


def _goes_on(process: OrderProcess) -> str:
    return f"It goes on by itself. See it with: oms process watch {process.process_id}"


async def _place(
    ordering: Ordering, progress: Progress, trouble: Callable[[CallFailed], None]
) -> OrderProcess:
    until = Until(ordering.timeout)
    async with connect(ordering.target) as connection:
        process = await start(connection, ordering.request, until=until, trouble=trouble)
        progress.saw(process)
        if not ordering.wait or process.state in RESTING:
            return process
        return await rest(connection, process, until=until, progress=progress)


async def start(
    connection: Connection,
    request: StartOrderProcessRequest,
    *,
    until: Until,
    trouble: Callable[[CallFailed], None],
) -> OrderProcess:
    """Has the process accepted, asking until the time is over; then raises the last answer."""
    backoff = Backoff()
    while True:
        try:
            reply = await connection.call(
                connection.processes.StartOrderProcess,
                request,
                timeout=max(0.1, min(CALL_SECONDS, until.left_seconds)),
            )
        except CallFailed as failed:
            pause = backoff.pause_seconds(asked_seconds=failed.retry_after_seconds)
            if not failed.passing or pause >= until.left_seconds:
                raise
            trouble(failed)
            await asyncio.sleep(pause)
        else:
            return reply.process


async def rest(
    connection: Connection,
    process: OrderProcess,
    *,
    until: Until,
    progress: Progress,
    ends: frozenset[OrderProcessState.ValueType] = RESTING,
) -> OrderProcess:
    """The process once it is in a state of `ends`, or as it is when the time is over."""
    events = follow(
        connection,
        process.process_id,
        after_revision=process.revision,
        until=until,
        trouble=progress.trouble,
        ends=ends,
    )
    async with aclosing(events):
        async for told in events:
            process = told.process
            progress.saw(process)
    return process


def _cause(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
