"""Golden histories: whole lives of order processes, as each released version stored them.

Invariant: what was released is never written again. One folder a version; of each life two files:
`<life>.jsonl` is the history, one event a line, its body as the very text that the log kept;
`<life>.json` says whose it is and what it came to. This module must never make one up: `record.py`
has real orchestrators live them.
"""

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Self

from orchestrator.saga.code import Code
from orchestrator.saga.events import Event
from orchestrator.saga.state import Phase
from orchestrator.saga_log.codec import decode
from orchestrator.saga_log.protocol import ProcessRow

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[2]

Text = tuple[str, int, str]
"""An event as it is stored: kind, time, body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """One life."""

    release: str
    """The version of the release that lived it."""
    life: str
    sentence: str
    definition: tuple[str, int]
    compensation_horizon_seconds: float
    """How patient it was with undos: a setting, so no part of the definition."""
    row: Mapping[str, Any]
    """What the log keeps beside the history, in the end."""
    state: Mapping[str, Any]
    """What the history comes to."""
    texts: tuple[Text, ...]

    def __str__(self) -> str:
        return f"{self.release}/{self.life}"

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(decode(*text) for text in self.texts)

    @property
    def process_row(self) -> ProcessRow:
        return ProcessRow(
            **{**self.row, "phase": Phase(self.row["phase"])},
            epoch=1,
            owner=None,
            due_time_us=None if Phase(self.row["phase"]).at_rest else 0,
        )

    def write(self, folder: Path) -> None:
        lines = [
            {"kind": kind, "time_us": time_us, "body": body} for kind, time_us, body in self.texts
        ]
        about = {
            "sentence": self.sentence,
            "definition": list(self.definition),
            "compensation_horizon_seconds": self.compensation_horizon_seconds,
            "row": self.row,
            "state": self.state,
        }
        (folder / f"{self.life}.jsonl").write_text("".join(f"{json.dumps(it)}\n" for it in lines))
        (folder / f"{self.life}.json").write_text(f"{json.dumps(about, indent=2)}\n")

    @classmethod
    def read(cls, folder: Path, life: str) -> Self:
        about = json.loads((folder / f"{life}.json").read_text())
        lines = (folder / f"{life}.jsonl").read_text().splitlines()
        name, version = about["definition"]
        return cls(
            release=folder.name,
            life=life,
            sentence=about["sentence"],
            definition=(name, version),
            compensation_horizon_seconds=about["compensation_horizon_seconds"],
            row=about["row"],
            state=about["state"],
            texts=tuple((it["kind"], it["time_us"], it["body"]) for it in map(json.loads, lines)),
        )


def current_release() -> str:
    """The version that is in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version: str = project["version"]
    return version


def released(folder: Path = FOLDER) -> Sequence[str]:
    """The versions that there are histories of."""
    return sorted(it.name for it in folder.iterdir() if it.is_dir() and it.name[0].isdigit())


def goldens(release: str, folder: Path = FOLDER) -> Sequence[Golden]:
    """All lives of a version."""
    there = folder / release
    return [Golden.read(there, it.stem) for it in sorted(there.glob("*.jsonl"))]


def plain(value: object) -> Any:
    """What a dataclass, or anything in one, says in JSON."""
    match value:
        case Code():
            return value.name
        case Enum():
            return value.value
        case Mapping():
            return {str(name): plain(it) for name, it in value.items()}
        case list() | tuple():
            return [plain(it) for it in value]
        case _ if dataclasses.is_dataclass(value):
            return {it.name: plain(getattr(value, it.name)) for it in dataclasses.fields(value)}
        case _:
            return value


def missing(before: object, now: object, where: str = "") -> list[str]:
    """What was said before and is not said now. More may be said now than before."""
    match before, now:
        case dict(), dict():
            return [
                line
                for name, it in before.items()
                for line in missing(it, now.get(name), f"{where}/{name}")
            ]
        case list(), list() if len(before) == len(now):
            return [
                line
                for place, (one, other) in enumerate(zip(before, now, strict=True))
                for line in missing(one, other, f"{where}/{place}")
            ]
        case _:
            return [] if before == now else [f"{where} was {before!r} and is {now!r}"]
