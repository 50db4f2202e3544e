"""Where a command writes: what it was asked for to stdout, everything else to stderr.

Invariant: with --json stdout holds JSON and nothing else; without a terminal there are no colours,
nothing moves and no line ends in blanks; text from outside is never read as markup. It must never
show a traceback for what a server answered.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.text import Text

from console.exits import Exit
from console.wire import CallFailed, visible

# Where nobody looks at it, a table is as wide as it needs to be: a script does not want its
# columns cut.
_WIDTH_OF_A_PIPE: Final = 240


class BadInput(Exception):  # noqa: N818 - named by what it is
    """What was typed, or is in a file, cannot be used. The message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """The two streams of a command."""

    out: Console
    err: Console
    as_json: bool

    @classmethod
    def open(cls, *, as_json: bool) -> "Terminal":
        """The streams as they are now."""
        return cls(out=_console(stderr=False), err=_console(stderr=True), as_json=as_json)

    def say(self, *parts: RenderableType) -> None:
        """Shows a person what was asked for. With --json: nothing."""
        if not self.as_json:
            for part in parts:
                self.show(part, as_it_is=isinstance(part, str))

    def show(self, part: RenderableType, *, as_it_is: bool = False) -> None:
        """Draws on stdout. What stands `as_it_is` is never broken to the width of the terminal."""
        if self.out.is_terminal:
            self.out.print(part, soft_wrap=as_it_is)
            return
        # A program reads on: it wants no blanks that only fill up a column.
        with self.out.capture() as drawn:
            self.out.print(part, soft_wrap=as_it_is)
        lines = drawn.get().split("\n")
        self.out.file.write("\n".join(line.rstrip(" ") for line in lines))
        self.out.file.flush()

    def note(self, text: str | Text, *, style: str = "") -> None:
        """Tells a person something by the way."""
        told = Text(text, style=style) if isinstance(text, str) else text
        self.err.print(told, soft_wrap=True)

    def document(self, value: object) -> None:
        """Writes the one JSON document of a command. Without --json: nothing."""
        if self.as_json:
            self._write(json.dumps(value, indent=2, ensure_ascii=False))

    def line(self, value: object) -> None:
        """Writes one of many JSON documents, on a line of its own. Without --json: nothing."""
        if self.as_json:
            self._write(json.dumps(value, ensure_ascii=False))

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turns what goes wrong inside into a message and an exit code."""
        try:
            yield
        except CallFailed as failed:
            self.report(failed)
            raise typer.Exit(failed.exit) from None
        except BadInput as bad:
            self.refuse(str(bad))
            raise typer.Exit(Exit.BAD_INPUT) from None
        except UnicodeEncodeError:
            # What cannot be put into a message came from the command line, as bytes.
            self.refuse("What was typed is not UTF-8.")
            raise typer.Exit(Exit.BAD_INPUT) from None
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None

    def report(self, failed: CallFailed) -> None:
        """Says what a server answered."""
        if self.as_json:
            self.err.file.write(json.dumps(failed.document(), ensure_ascii=False) + "\n")
            return
        self.note(failed.sentence(), style="red")
        for violation in failed.violations:
            line = Text("  ").append(violation.field, style="bold")
            self.err.print(line.append(f"  {violation.description}"), soft_wrap=True)
        if failed.unanswered:
            self.note("`oms up` starts the services; --target or OMS_TARGET names another place.")

    def refuse(self, message: str) -> None:
        """Says that something cannot be done, without a server having said so."""
        if self.as_json:
            wrong = {"error": {"message": message}}
            self.err.file.write(json.dumps(wrong, ensure_ascii=False) + "\n")
        else:
            self.note(message, style="red")

    def _write(self, text: str) -> None:
        # The same JSON, and nothing in it that a terminal would obey.
        self.out.file.write(visible(text) + "\n")
        self.out.file.flush()


def as_dict(message: Message) -> dict[str, object]:
    """A message as protobuf JSON, with the contract's own names, values by default included."""
    converted: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return converted


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        markup=False,
        highlight=False,
        emoji=False,
        width=None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_PIPE,
    )
