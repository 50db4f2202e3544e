"""What every command shares of its command line.

Invariant: an option that several commands have is written once, here, and so means the same
everywhere. This module must never do what an option asks for.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from console.channels import is_target
from console.terminal import BadInput

DEFAULT_TARGET: Final = "127.0.0.1:50051"

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout, and ask nothing.")]

TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="HOST:PORT",
        help="The orchestrator, here or before the command.",
        show_default="OMS_TARGET",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Everywhere:
    """What stands before the command: `oms --target … command`."""

    target: str


def target_of(ctx: typer.Context, typed: str | None) -> str:
    """The orchestrator, or the several, that a command talks to; what follows the command wins."""
    found = ctx.find_object(Everywhere)
    target = typed
    if target is None:
        target = DEFAULT_TARGET if found is None else found.target
    if not is_target(target):
        raise BadInput(
            f'--target (OMS_TARGET) "{target}" is not right: write host:port, dns:///host:port for '
            "all that the name stands for, or several addresses as "
            "ipv4:127.0.0.1:50051,127.0.0.1:50061."
        )
    return target


def parse_moment(text: str) -> Timestamp:
    """A time as ISO 8601 writes it; one without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        stamp = Timestamp()
        stamp.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise BadInput(
            f'"{text}" is not a time: write it as 2026-11-23T05:32 (UTC) or 2026-11-23T05:32+01:00.'
        ) from None
    return stamp
