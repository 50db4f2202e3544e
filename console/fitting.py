"""A table that is there in two shapes: a line for each row, and one for where that has no room.

Invariant: a table is drawn only where every cell of it is whole; so nothing that is shown is cut
off or broken, however narrow the terminal. This module must never decide what is shown.
"""

from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table

_ANY_WIDTH: Final = 10_000


@dataclass(frozen=True, slots=True)
class Fitting:
    """`wide` where all of it fits side by side, `narrow` where it does not."""

    wide: Table
    narrow: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich draws."""
        needed = Measurement.get(console, options.update(width=_ANY_WIDTH), self.wide).maximum
        yield self.wide if needed <= options.max_width else self.narrow
