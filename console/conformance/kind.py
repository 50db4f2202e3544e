"""What the kit knows of one kind of participant: its messages, and samples of what to send.

Invariant: everything that tells the three apart is in here, as data; the promises are written once.
It must never say what a participant does with a request: that is for the promises.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from console.conformance.knobs import Knobs

# Requests and entities are of three kinds, and the promises treat them alike: by field name.
Request = Any
Entity = Any
Change = Callable[[Request], None]

_INDEX_AT_END: Final = re.compile(r"\[\d+\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A change that makes a good request a wrong one. `field` is the path of what is wrong then."""

    field: str
    says: str
    make: Change

    def named_by(self, fields: Sequence[str]) -> bool:
        """Whether its field is among those. A whole list may be named for one of its scalars."""
        return self.field in fields or _INDEX_AT_END.sub("", self.field) in fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A change that leaves a good request a good one."""

    says: str
    make: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One RPC: its name, and the messages that go in and come out."""

    rpc: str
    request: type[Message]
    response: type[Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of participant.

    `verbs` has "create", "confirm" (where there is one), "cancel", "get" and "list". `entity` and
    `entities` name the field of the responses; `subject` is what a list can be narrowed to.
    `list_leaves_out` are fields that a list may do without.
    `sample` makes a good Create with everything but an id; `refused` one that is refused for good,
    and `refusal_knob` names the knob that says how.
    """

    name: str
    service: str
    id_prefix: str
    entity: str
    entities: str
    subject: str
    verbs: Mapping[str, Verb]
    states: Mapping[str, int]
    first_state: str
    sample: Callable[[Knobs, str], Request]
    others: Callable[[Knobs], Sequence[Variant]]
    extremes: Callable[[Knobs], Sequence[Variant]]
    mistakes: Callable[[Knobs], Sequence[Mistake]]
    list_leaves_out: Sequence[str] = ()
    refused: Callable[[Knobs], Variant | None] = lambda _: None
    refused_state: str = ""
    refused_field: str = ""
    refusal_knob: str = ""

    @property
    def id_field(self) -> str:
        """The field that holds the id, in requests and entities."""
        return f"{self.entity}_id"

    @property
    def upper(self) -> str:
        """The entity's name as reasons have it."""
        return self.entity.upper()


def set_to(path: str, value: object) -> Change:
    """Sets the field at a path such as "items[0].unit_price.minor_units"."""

    def change(request: Request) -> None:
        holder, last = _walk(request, path)
        if isinstance(last, int):
            holder[last] = value
        else:
            setattr(holder, last, value)

    return change


def clear(path: str) -> Change:
    """Unsets the field at a path."""

    def change(request: Request) -> None:
        holder, last = _walk(request, path)
        holder.ClearField(last)

    return change


def fill(path: str, values: Sequence[Any]) -> Change:
    """Makes the list at a path hold these, and nothing else."""

    def change(request: Request) -> None:
        holder, last = _walk(request, path)
        holder.ClearField(last)
        getattr(holder, str(last)).extend(values)

    return change


def _walk(request: Request, path: str) -> tuple[Any, str | int]:
    """Whatever holds the last part of a path, and that part."""
    parts: list[str | int] = [
        int(part) if part.isdecimal() else part for part in re.findall(r"[a-z_]+|\d+", path)
    ]
    holder = request
    for part in parts[:-1]:
        holder = holder[part] if isinstance(part, int) else getattr(holder, part)
    return holder, parts[-1]
