"""The file of rejected rows: each as it stood, with where and why.

Invariant: a rejected CSV row keeps its columns, in their order, so that the file can be mended and
imported again under the same name. The file appears whole at the end, under its name; until then it
is its name with ".partial". A file left by an earlier run is replaced, or removed once it is known
that nothing is rejected any more. It must never hold more than one row in memory, nor the
reasons of more than a few.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from console.import_file import REJECTION_COLUMNS, Rejection
from console.wire import plain

_SHOWN_MAX: Final = 5


class Rejects:
    """Where rejected rows go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.read_all = False
        self._partial = path.with_name(path.name + ".partial")
        self._columns: Sequence[str] = ()
        self.first: list[str] = []
        """What was wrong with the first few, for a person."""
        self._file: IO[str] | None = None

    def add(self, rejection: Rejection) -> None:
        """Writes the rows of a rejection."""
        if self._file is None:
            self._file = self._partial.open("w", encoding="utf-8", newline="")
            self._writer = csv.writer(self._file)
            self._columns = rejection.rows[0].columns
            self._writer.writerow([*self._columns, *REJECTION_COLUMNS])
        if len(self.first) < _SHOWN_MAX:
            why = f"{plain(rejection.reason)}  {plain(rejection.details)}"
            self.first.append(f"line {rejection.rows[0].line}  {why}")
        for row in rejection.rows:
            self.count += 1
            values = [row.fields.get(column, "") for column in self._columns]
            told = [row.line, plain(rejection.reason), plain(rejection.details)]
            self._writer.writerow([*values, *told])

    def __enter__(self) -> Self:
        self._partial.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._partial.replace(self.path)
        elif self.read_all:
            self.path.unlink(missing_ok=True)
