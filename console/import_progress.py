"""How far an import has come, shown while it goes on.

Invariant: on a terminal a bar that moves, elsewhere a line now and then, with --json nothing; and
it is stderr that it goes to. This module must never hold the import up.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, Final

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from console.import_run import Run
from console.rendering import duration
from console.terminal import Terminal

_TELL_SECONDS: Final = 10.0
_DRAW_SECONDS: Final = 0.1


@asynccontextmanager
async def shown(terminal: Terminal, run: Run, file: BinaryIO) -> AsyncIterator[None]:
    """Shows a run while inside."""
    if terminal.as_json:
        yield
        return
    show = _draw if terminal.err.is_terminal else _tell
    showing = asyncio.create_task(show(terminal, run, file))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _draw(terminal: Terminal, run: Run, file: BinaryIO) -> None:
    size = _size(file)
    bar = Progress(
        BarColumn(bar_width=24, complete_style="cyan", finished_style="green"),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=terminal.err,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=size)
        while True:
            # The bar is about what was read; the last rows of that are still under
            # way, which the counts tell.
            bar.update(task, completed=file.tell() if size else 0, description=_counts(run))
            await asyncio.sleep(_DRAW_SECONDS)


async def _tell(terminal: Terminal, run: Run, file: BinaryIO) -> None:
    size = _size(file)
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        read = f"{100 * file.tell() // size}% read, " if size else ""
        terminal.note(f"{read}{_counts(run)}")


def _counts(run: Run) -> str:
    tally = run.tally
    parts = [f"{tally.settled:,} settled"]
    if tally.still_going + tally.in_hand:
        parts.append(f"{tally.still_going + tally.in_hand:,} under way")
    if tally.rejected:
        parts.append(f"{tally.rejected:,} rejected")
    if tally.parked:
        parts.append(f"{tally.parked:,} parked")
    if run.trouble is not None:
        left = duration(max(0.0, run.patience_left_seconds))
        parts.append(f"{run.trouble.sentence().rstrip('.')}, patience for {left}")
    return ", ".join(parts)


def _size(file: BinaryIO) -> int | None:
    """How much there is to read; None where it is not a file of a known size."""
    found = os.fstat(file.fileno())
    return found.st_size if stat.S_ISREG(found.st_mode) and found.st_size else None
