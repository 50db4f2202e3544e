"""Events as the log keeps them: a kind, a time, and a body that is JSON text.

Invariant: whatever was written once is read for ever, so a kind is never renamed and a name in a
body never changes its meaning. What may be added is a name that older bodies lack, with a default;
names that are not known are ignored. Must never: guess. What cannot be read is `Undecodable`.

Bodies leave out empty texts and what is None. The time is not in the body: a log keeps it beside
the body, where it can be searched.

What was appended at once may be kept in one: of the kind TOGETHER, with the time of the first, and
a body that lists each with its kind, by how much it was later, and its body.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias, assert_never

from chassis.json_text import Written, json_encoder
from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    JSON,
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CancelRequested,
    CompensationBegan,
    Completed,
    Event,
    Parked,
    ResolvedByHand,
    RetryRequested,
    Started,
)
from orchestrator.saga_log.protocol import ProcessRow, StoredProcess

KINDS: Final[Mapping[type[Event], str]] = {
    Started: "started",
    AttemptBegan: "attempt_began",
    AttemptEnded: "attempt_ended",
    CancelRequested: "cancel_requested",
    CompensationBegan: "compensation_began",
    Parked: "parked",
    RetryRequested: "retry_requested",
    ResolvedByHand: "resolved_by_hand",
    Completed: "completed",
    Cancelled: "cancelled",
}

TOGETHER: Final = "together"

Text: TypeAlias = tuple[str, int, str]
"""What is kept: kind, time in microseconds since the Unix epoch, body."""

# Nearly all events of nearly all processes are one of a few, but for their times.
_SAME_BODIES_MAX: Final = 1_024
_to_json: Final = json_encoder(allow_nan=False)


class Undecodable(Exception):  # noqa: N818 - it is a property of what was read
    """This release cannot read what is stored: it is damaged, or a newer release wrote it."""


def encode(event: Event) -> Text:
    """What is kept of an event."""
    match event:
        case AttemptBegan():
            return "attempt_began", event.time_us, _began(event.action, event.attempt)
        case AttemptEnded(reason="", message="", not_before_us=None):
            body = _ended(event.action, event.attempt, event.code)
            if event.result is not None:
                body = f'{body[:-1]},"result":{dumps(event.result)}}}'
            return "attempt_ended", event.time_us, body
        case Started(input=Written(text=text)):
            body = (
                f'{{"definition":{dumps(event.definition)},"version":{event.version},'
                f'"input":{text},"deadline_us":{event.deadline_us}}}'
            )
            return "started", event.time_us, body
        case _:
            return KINDS[type(event)], event.time_us, _dumped(event)


def in_one(first: Text, second: Text) -> Text:
    """Two events that were appended at once, kept in one."""
    kind, time_us, body = first
    kind_then, time_then_us, body_then = second
    later_us = time_then_us - time_us
    return TOGETHER, time_us, f'[["{kind}",0,{body}],["{kind_then}",{later_us},{body_then}]]'


@lru_cache(maxsize=_SAME_BODIES_MAX)
def _began(action: str, attempt: int) -> str:
    return _dumped(AttemptBegan(action=action, attempt=attempt, time_us=0))


@lru_cache(maxsize=_SAME_BODIES_MAX)
def _ended(action: str, attempt: int, code: Code) -> str:
    return _dumped(AttemptEnded(action=action, attempt=attempt, code=code, time_us=0))


def _dumped(event: Event) -> str:
    return dumps({name: value for name, value in _body_of(event).items() if value is not None})


def decode(kind: str, time_us: int, body: str) -> Event:
    """The event of which that was kept.

    Raises:
        Undecodable: It cannot be read.
    """
    content = _read(kind, body)
    if not isinstance(content, dict):
        raise Undecodable(f"the body of {kind!r} is not an object")
    return _event_of(kind, time_us, _Body(kind, content))


def decode_all(kind: str, time_us: int, body: str) -> tuple[Event, ...]:
    """The events of which that was kept: one, unless several were kept in one.

    Raises:
        Undecodable: One of them cannot be read.
    """
    if kind != TOGETHER:
        return (decode(kind, time_us, body),)
    content = _read(kind, body)
    if not isinstance(content, list):
        raise Undecodable(f"the body of {kind!r} is not a list")
    return tuple(_one_of_several(it, time_us) for it in content)


def _one_of_several(content: object, time_us: int) -> Event:
    match content:
        case [str(kind), int(later_us), dict(body)]:
            return _event_of(kind, time_us + later_us, _Body(kind, body))
        case _:
            raise Undecodable(f"what is listed in the body of {TOGETHER!r} is no event")


def _read(kind: str, body: str) -> object:
    try:
        content: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"the body of {kind!r} is not JSON") from error
    return content


def stored_process(row: ProcessRow, texts: Iterable[Text]) -> StoredProcess:
    """A process of which these kinds, times and bodies are kept, be they readable or not."""
    try:
        events = tuple([event for text in texts for event in decode_all(*text)])
        return StoredProcess(row=row, events=events)
    except Undecodable as undecodable:
        return StoredProcess(row=row, events=(), unreadable=str(undecodable))


def dumps(value: object) -> str:
    """JSON as short as it gets, or the text that is known already.

    Raises:
        TypeError: There is something in the value that JSON cannot say.
        ValueError: The same: it is no number, or it holds itself.
    """
    return value.text if type(value) is Written else _to_json(value)


def _body_of(event: Event) -> dict[str, JSON]:  # noqa: PLR0911 - flat: one case for each event
    match event:
        case Started():
            return {
                "definition": event.definition,
                "version": event.version,
                "input": event.input,
                "deadline_us": event.deadline_us,
            }
        case AttemptBegan():
            return {"action": event.action, "attempt": event.attempt}
        case AttemptEnded():
            return {
                "action": event.action,
                "attempt": event.attempt,
                "code": event.code.name,
                "reason": event.reason or None,
                "message": event.message or None,
                "result": event.result,
                "not_before_us": event.not_before_us,
            }
        case CompensationBegan():
            return {
                "step": event.step or None,
                "code": event.code_name or None,
                "reason": event.reason or None,
                "message": event.message or None,
            }
        case Parked():
            return {
                "action": event.action or None,
                "code": event.code_name or None,
                "reason": event.reason or None,
                "message": event.message or None,
            }
        case CancelRequested() | RetryRequested():
            return {
                "reason": event.reason or None,
                "requested_by": event.requested_by or None,
            }
        case ResolvedByHand():
            return {
                "action": event.action,
                "reason": event.reason or None,
                "requested_by": event.requested_by or None,
            }
        case Completed() | Cancelled():
            return {}
        case _:
            assert_never(event)


def _event_of(kind: str, time_us: int, body: "_Body") -> Event:  # noqa: C901, PLR0911 - flat: one case for each kind
    match kind:
        case "started":
            return Started(
                definition=body.name("definition"),
                version=body.number("version"),
                input=body.object("input"),
                deadline_us=body.number("deadline_us"),
                time_us=time_us,
            )
        case "attempt_began":
            return AttemptBegan(
                action=body.name("action"), attempt=body.number("attempt"), time_us=time_us
            )
        case "attempt_ended":
            return AttemptEnded(
                action=body.name("action"),
                attempt=body.number("attempt"),
                code=body.code("code"),
                reason=body.text("reason"),
                message=body.text("message"),
                result=body.value("result"),
                not_before_us=body.number_or_none("not_before_us"),
                time_us=time_us,
            )
        case "cancel_requested":
            return CancelRequested(
                reason=body.text("reason"),
                requested_by=body.text("requested_by"),
                time_us=time_us,
            )
        case "compensation_began":
            return CompensationBegan(
                step=body.text("step"),
                code_name=body.text("code"),
                reason=body.text("reason"),
                message=body.text("message"),
                time_us=time_us,
            )
        case "parked":
            return Parked(
                action=body.text("action"),
                code_name=body.text("code"),
                reason=body.text("reason"),
                message=body.text("message"),
                time_us=time_us,
            )
        case "retry_requested":
            return RetryRequested(
                reason=body.text("reason"),
                requested_by=body.text("requested_by"),
                time_us=time_us,
            )
        case "resolved_by_hand":
            return ResolvedByHand(
                action=body.name("action"),
                reason=body.text("reason"),
                requested_by=body.text("requested_by"),
                time_us=time_us,
            )
        case "completed":
            return Completed(time_us=time_us)
        case "cancelled":
            return Cancelled(time_us=time_us)
        case _:
            raise Undecodable(f"there is no kind {kind!r}")


class _Body:
    """What a body says, and complaints about what it ought to say."""

    __slots__ = ("_content", "_kind")

    def __init__(self, kind: str, content: Mapping[str, JSON]) -> None:
        self._kind = kind
        self._content = content

    def value(self, name: str) -> JSON:
        return self._content.get(name)

    def text(self, name: str) -> str:
        match self._content.get(name, ""):
            case str(text):
                # The same few texts are in very many histories.
                return sys.intern(text)
            case _:
                raise self._complaint(name, "a text")

    def name(self, name: str) -> str:
        text = self.text(name)
        if not text:
            raise self._complaint(name, "a name")
        return text

    def number_or_none(self, name: str) -> int | None:
        match self._content.get(name):
            case None:
                return None
            case bool():
                raise self._complaint(name, "a whole number")
            case int(number):
                return number
            case _:
                raise self._complaint(name, "a whole number")

    def number(self, name: str) -> int:
        number = self.number_or_none(name)
        if number is None:
            raise self._complaint(name, "a whole number")
        return number

    def object(self, name: str) -> Mapping[str, JSON]:
        match self._content.get(name):
            case dict(content):
                return content
            case _:
                raise self._complaint(name, "an object")

    def code(self, name: str) -> Code:
        try:
            return Code[self.name(name)]
        except KeyError:
            raise self._complaint(name, "the name of a status code") from None

    def _complaint(self, name: str, expected: str) -> Undecodable:
        return Undecodable(f"{name!r} of {self._kind!r} is not {expected}")
