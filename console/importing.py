"""`oms order import`: many orders from a file, each of them exactly one process.

Invariant: the request id of an order is the import's name and the row's key, and nothing else; so
the same command, run again after anything, finds what it has begun. This module must never keep a
record of its own of what was sent.
"""

import asyncio
import shlex
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from console import rendering
from console.exits import Exit
from console.import_file import Format, entries
from console.import_keys import SeenKeys
from console.import_progress import shown
from console.import_rejects import Rejects
from console.import_run import GaveUp, Run, Tally
from console.options import AsJson, TargetOption, target_of
from console.terminal import BadInput, Terminal
from console.wire import CallFailed, connect


def import_orders(
    ctx: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(help="The file; see above.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Option(
            help="The import's name, which every request id begins with.",
            show_default="the file's name without its ending",
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="How it is written.", show_default="by its ending"),
    ] = None,
    rejected: Annotated[
        Path | None,
        typer.Option(
            help="Where rejected rows go.",
            show_default="orders.rejected.csv for orders.csv",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1_000, help="How many orders are under way at once.")
    ] = 64,
    patience: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Give up once nothing has moved for so long."
        ),
    ] = 600.0,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Imports the orders of a file."""
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        importing = _plan(
            file=file,
            name=name,
            format_=format_,
            rejected=rejected,
            concurrency=concurrency,
            patience=patience,
        )
        outcome = asyncio.run(_import(terminal, target_of(ctx, target), importing))
    terminal.document(_document(importing, outcome))
    terminal.say(_summary(importing, outcome))
    if outcome.first_rejected and not as_json:
        _tell_rejected(terminal, importing, outcome)
    if outcome.stopped and not as_json:
        terminal.note(outcome.stopped, style="red")
        terminal.note("Run the same command again to go on where it stopped.")
    raise typer.Exit(outcome.exit)


HELP: Final = """
Imports orders, and follows each until it is settled.

Resumable: run the same command again after anything (the orchestrator killed,
this command killed, the machine gone) and every order is still exactly one
process.

The request id of an order is NAME/KEY: the import's name and the key in the
file. Use another name for another import, and do not change a file half way:
what was sent once under a key stays as it was sent, and other content under
the same key is rejected (REQUEST_ID_REUSED).

CSV has a header, and these columns in any order:

  key (identifies the order within the file)
  customer_id, payment_method
  sku, quantity, unit_price_minor_units (1250 is 12.50), currency_code (USD)
  recipient, line1, line2, locality, region, postal_code, country_code

  Several rows with the same key, one right after the other, are the items of
  one order; they agree on everything else. The same key further down is
  rejected. line2, region and postal_code may be left out.

JSON lines have one order a line: a StartOrderProcessRequest in protobuf JSON,
with a "key" in place of its request_id.

Rejected rows go to a CSV file, each with its line, reason and details;
nothing else is held up by them. Mend and import that file under the same
--name.

For example:

  oms order import orders.csv
  oms order import orders.rejected.csv --name orders
  oms order import nightly.jsonl --name nightly-2026-11-23 --concurrency 128 --json

Exit codes, the first that applies:

  1  gave up, or the file cannot be read to its end
  2  rows were rejected (or bad input)
  4  some are PARKED
  5  some are still going
  0  every order is settled: COMPLETED or CANCELLED
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """What is to be done."""

    file: Path
    name: str
    format: Format
    rejected: Path
    concurrency: int
    patience: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done."""

    tally: Tally
    rejected_rows: int
    first_rejected: tuple[str, ...]
    seconds: float
    stopped: str
    interrupted: bool

    @property
    def exit(self) -> Exit:
        """The exit code that this makes."""
        if self.interrupted:
            return Exit.INTERRUPTED
        if self.stopped:
            return Exit.FAILED
        if self.tally.rejected:
            return Exit.BAD_INPUT
        if self.tally.parked:
            return Exit.PARKED
        return Exit.STILL_GOING if self.tally.still_going else Exit.DONE


def _plan(
    *,
    file: Path,
    name: str | None,
    format_: Format | None,
    rejected: Path | None,
    concurrency: int,
    patience: float,
) -> Importing:
    if format_ is None:
        endings = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".ndjson": Format.JSONL}
        format_ = endings.get(file.suffix.lower())
        if format_ is None:
            raise BadInput(
                f"How is {file} written? Its ending does not say: --format csv or jsonl."
            )
    rejected = rejected or file.with_name(f"{file.stem}.rejected.csv")
    if rejected.resolve() == file.resolve():
        raise BadInput("The rejected rows would overwrite the file: name another with --rejected.")
    name = file.stem if name is None else name
    if not name:
        raise BadInput("The import needs a name: --name.")
    return Importing(
        file=file,
        name=name,
        format=format_,
        rejected=rejected,
        concurrency=concurrency,
        patience=patience,
    )


async def _import(terminal: Terminal, target: str, importing: Importing) -> Outcome:
    began = time.monotonic()
    stopped, interrupted = "", False
    with ExitStack() as files:
        try:
            file = files.enter_context(importing.file.open("rb"))
            rejects = files.enter_context(Rejects(importing.rejected))
        except OSError as error:
            raise BadInput(f"{error.filename}: {error.strerror}.") from None
        seen = files.enter_context(SeenKeys())
        async with connect(target) as connection:
            run = Run(
                connection=connection,
                entries=entries(file, importing.format, seen=seen, name=importing.name),
                reject=rejects.add,
                concurrency=importing.concurrency,
                patience_seconds=importing.patience,
            )
            try:
                async with shown(terminal, run, file):
                    await run.run()
                rejects.read_all = True
            except GaveUp:
                stopped = _gave_up(run, importing.patience)
            except CallFailed as failed:
                stopped = failed.sentence()
            except OSError as error:
                stopped = f"{importing.file} cannot be read on: {error.strerror}."
            except asyncio.CancelledError:
                # Ctrl-C: what was done is told all the same.
                stopped, interrupted = "Interrupted.", True
    return Outcome(
        tally=run.tally,
        rejected_rows=rejects.count,
        first_rejected=tuple(rejects.first),
        seconds=time.monotonic() - began,
        stopped=stopped,
        interrupted=interrupted,
    )


def _gave_up(run: Run, patience: float) -> str:
    """Why it is over before the end; empty where what is left goes on by itself."""
    if run.tally.read_all and not run.tally.in_hand and run.trouble is None:
        return ""
    why = f" {run.trouble.sentence()}" if run.trouble is not None else ""
    return f"Gave up: nothing has moved for {rendering.duration(patience)}.{why}"


def _tell_rejected(terminal: Terminal, importing: Importing, outcome: Outcome) -> None:
    """What was wrong with the first, and what to type once it is mended."""
    for line in outcome.first_rejected:
        terminal.note(f"  {line}")
    more = outcome.tally.rejected - len(outcome.first_rejected)
    if more > 0:
        terminal.note(f"  … and {more:,} more")
    left = shlex.quote(str(importing.rejected))
    name = f"--name {shlex.quote(importing.name)}"
    if importing.format is Format.JSONL:
        terminal.note(f"Put the rows of {left}, mended, into a file of their own: {name}")
        return
    how = "" if importing.rejected.suffix.lower() == ".csv" else " --format csv"
    terminal.note(f"Mend them, then: oms order import {left} {name}{how}")


def _document(importing: Importing, outcome: Outcome) -> dict[str, object]:
    tally = outcome.tally
    return {
        "name": importing.name,
        "accepted": tally.accepted,
        "completed": tally.completed,
        "cancelled": tally.cancelled,
        "parked": tally.parked,
        "rejected": tally.rejected,
        "still_going": tally.still_going,
        "read_to_the_end": tally.read_all and not tally.in_hand,
        "rejected_file": str(importing.rejected) if outcome.rejected_rows else None,
        "rejected_rows": outcome.rejected_rows,
        "seconds": round(outcome.seconds, 3),
        "stopped": outcome.stopped or None,
    }


def _summary(importing: Importing, outcome: Outcome) -> Table:
    tally = outcome.tally
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    rate = tally.accepted / outcome.seconds if outcome.seconds else 0
    took = f"in {rendering.duration(outcome.seconds)}, {rate:,.0f} a second"
    where = f"{outcome.rejected_rows:,} rows in {importing.rejected}" if tally.rejected else ""
    rows = [
        ("accepted", tally.accepted, "", took),
        ("completed", tally.completed, "green", ""),
        ("cancelled", tally.cancelled, "magenta", ""),
        ("parked", tally.parked, "bold red", "oms admin parked" if tally.parked else ""),
        ("rejected", tally.rejected, "red", where),
        ("still going", tally.still_going, "yellow", ""),
    ]
    for label, count, style, remark in rows:
        shown_style = style if count else "dim"
        table.add_row(Text(label, style=shown_style), Text(f"{count:,}", style=shown_style), remark)
    return table
