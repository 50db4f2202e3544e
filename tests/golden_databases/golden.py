"""Golden databases: the whole databases of a few orders, as each released version left them.

Invariant: what was released is never written again. One folder a version: of each database its
`.sql`, as SQLite dumps it; in `said.json` what the services were asked and answered meanwhile, and
what they answered in the end; in `revisions.json` the digests of the revisions of that release.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from chassis.statuses import read_error
from oms.delivery.v1 import delivery_service_pb2
from oms.order.v1 import order_service_pb2
from oms.payment.v1 import payment_service_pb2
from tests.migrations.schemas import SERVICES, revisions
from tests.orchestrator.edge.harness.town import Town

FOLDER: Final = Path(__file__).parent
DATABASES: Final = ("orchestrator", "order", "payment", "gateway", "delivery")
MESSAGES: Final[Mapping[str, Any]] = {
    "order": order_service_pb2,
    "payment": payment_service_pb2,
    "delivery": delivery_service_pb2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A question to a participant, and its answer: a message, or the reason of a refusal."""

    service: str
    method: str
    request: Mapping[str, Any]
    answer: Mapping[str, Any]


async def ask(town: Town, service: str, method: str, request: Mapping[str, Any]) -> Said:
    """Asks a participant."""
    message: Message = ParseDict(dict(request), getattr(MESSAGES[service], f"{method}Request")())
    call = getattr(getattr(town, service), method)
    try:
        answer = MessageToDict(await call(message), preserving_proto_field_name=True)
    except grpc.aio.AioRpcError as error:
        answer = {"refused": error.code().name, "reason": read_error(error).reason}
    return Said(service=service, method=method, request=request, answer=answer)


def released(folder: Path = FOLDER) -> Sequence[str]:
    """The versions that there are databases of."""
    return sorted(it.name for it in folder.iterdir() if it.is_dir() and it.name[0].isdigit())


def dump(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return "".join(f"{line}\n" for line in connection.iterdump())


def restore(release: str, folder: Path) -> None:
    """The databases of a release, as files in `folder`."""
    for name in DATABASES:
        with closing(sqlite3.connect(folder / f"{name}.db")) as connection:
            connection.executescript((FOLDER / release / f"{name}.sql").read_text())


def said(release: str) -> tuple[Sequence[Said], Sequence[Said]]:
    """What was asked and answered on the way, and what was answered in the end."""
    both = json.loads((FOLDER / release / "said.json").read_text())
    on_the_way, in_the_end = ([Said(**it) for it in both[name]] for name in ("on_the_way", "end"))
    return on_the_way, in_the_end


def released_digests(release: str) -> Mapping[str, Mapping[str, str]]:
    """The digests of the revisions of a release, by package and revision."""
    digests: Mapping[str, Mapping[str, str]]
    digests = json.loads((FOLDER / release / "revisions.json").read_text())
    return digests


def digests_now() -> Mapping[str, Mapping[str, str]]:
    return {package: {it.revision: it.digest for it in revisions(package)} for package in SERVICES}
