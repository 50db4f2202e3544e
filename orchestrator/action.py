"""An action: the one place where a saga touches the world.

Invariant: whatever an action does, its attempt ends, in time, with one code; what cannot be kept of
its reply counts as no reply. Must never: let an exception of an action through.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import structlog

from chassis.json_text import Written
from chassis.record import record
from orchestrator.saga.code import OK, Code
from orchestrator.saga.decide import Call
from orchestrator.saga.events import JSON, AttemptEnded
from orchestrator.saga.outcome import Sequel, sequel_of
from orchestrator.saga.retry import RetryPolicy, microseconds
from orchestrator.saga.text import MESSAGE_LENGTH_MAX, REASON_LENGTH_MAX, bounded
from orchestrator.saga_log.codec import dumps

RESULT_LENGTH_MAX: Final = 16_384
"""Of a result, as JSON text."""

OVERTIME_SECONDS: Final = 1.0

_PLAIN: Final = frozenset({str, int, bool, type(None)})
_TEXT: Final = frozenset({str})

_log = structlog.get_logger(__name__)


@record
class ActionCall:
    """What an action is told."""

    process_id: str
    action: str
    attempt: int
    timeout_seconds: float
    """How long its call may take."""
    input: Mapping[str, JSON]
    """What the process was started with."""
    results: Mapping[str, JSON]
    """What earlier actions gave back, by their names."""


@record
class ActionReply:
    """How an attempt ended."""

    code: Code
    reason: str = ""
    message: str = ""
    retry_after_seconds: float | None = None
    """How long the participant asks to be left alone, if it does."""
    result: JSON = None
    """For later actions, where the code is OK: JSON, small."""


Action: TypeAlias = Callable[[ActionCall], Awaitable[ActionReply]]
"""Makes one attempt. The same attempt may be made again, or several attempts be under way at once:
an action is idempotent under the process's id."""


class Watch:
    """Cuts a task off where something that it does takes too long: one timer for all of it.

    A timer for each, by `asyncio.timeout`, costs as much as all else that is done about an attempt.
    """

    __slots__ = ("_ends", "_loop", "_task", "_timer", "cuts")

    def __init__(self) -> None:
        """Watches the task that this is made in."""
        task = asyncio.current_task()
        assert task is not None, "an attempt is made in a task"
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ends: float | None = None
        self.cuts = 0
        """How often it was cut off and has not been told yet: at most once."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody else wants the task to end."""
        return self._task.cancelling() > self.cuts

    def begin(self, seconds: float) -> None:
        """It may take so long from now on."""
        self._ends = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._look)

    def end(self) -> None:
        """It has ended, by itself or cut off."""
        self._ends = None
        if self.cuts:
            self.cuts = 0
            self._task.uncancel()

    def close(self) -> None:
        """Nothing more is watched."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._ends is None:
            return
        left_seconds = self._ends - self._loop.time()
        if left_seconds > 0:
            self._timer = self._loop.call_later(left_seconds, self._look)
            return
        self.cuts = 1
        self._task.cancel()


async def attempt(action: Action, call: ActionCall, watch: Watch) -> ActionReply:
    """Makes an attempt, and sees to it that it ends.

    An action may take its time twice, once to be let out and once to be answered. One that takes
    longer is cut off; one that raises is a defect. In either case nobody knows what it did.
    """
    watch.begin(2 * call.timeout_seconds + OVERTIME_SECONDS)
    try:
        reply = await action(call)
        assert isinstance(reply.code, Code), "an action answers with a code"
    except asyncio.CancelledError:
        if watch.cancelled:
            raise
        if watch.cuts:
            return _overdue(call)
        return ActionReply(code=Code.CANCELLED, reason="ACTION_CANCELLED")
    except Exception:  # noqa: BLE001 - whatever it is, the attempt has ended
        if watch.cuts:
            return _overdue(call)
        _log.exception("action_failed", action=call.action, attempt=call.attempt)
        return ActionReply(code=Code.UNKNOWN, reason="ACTION_FAILED")
    else:
        return reply
    finally:
        watch.end()


def _overdue(call: ActionCall) -> ActionReply:
    _log.error("action_overdue", action=call.action, attempt=call.attempt)
    return ActionReply(code=Code.DEADLINE_EXCEEDED, reason="ACTION_OVERDUE")


def ended(
    call: Call,
    reply: ActionReply,
    *,
    undo: bool,
    retries: RetryPolicy,
    fraction: Callable[[], float],
    time_us: int,
) -> AttemptEnded:
    """What the log will say of an attempt.

    Args:
        call: The attempt.
        reply: How it ended.
        undo: Whether it was at an undo.
        retries: How long to pause, if another is to be made.
        fraction: Draws evenly from 0 to 1.
        time_us: When it ended.
    """
    reply = _keepable(reply)
    not_before_us = None
    if reply.code is not OK and sequel_of(reply.code, undo=undo) is Sequel.TRY_AGAIN:
        pause_seconds = retries.pause_seconds(
            attempt=call.attempt,
            fraction=fraction(),
            asked_seconds=reply.retry_after_seconds,
        )
        not_before_us = time_us + microseconds(pause_seconds)
    return AttemptEnded(
        action=call.action,
        attempt=call.attempt,
        code=reply.code,
        reason=reply.reason and bounded(reply.reason, REASON_LENGTH_MAX),
        message=reply.message and bounded(reply.message, MESSAGE_LENGTH_MAX),
        result=reply.result,
        not_before_us=not_before_us,
        time_us=time_us,
    )


def _keepable(reply: ActionReply) -> ActionReply:
    """The reply with its result exactly as the log will give it back, after a crash too."""
    if reply.result is None:
        return reply
    if reply.code is not OK:
        return ActionReply(
            code=reply.code,
            reason=reply.reason,
            message=reply.message,
            retry_after_seconds=reply.retry_after_seconds,
        )
    try:
        text = dumps(reply.result)
    except (TypeError, ValueError, RecursionError):
        return ActionReply(code=Code.INTERNAL, reason="RESULT_NOT_JSON")
    if len(text) > RESULT_LENGTH_MAX:
        return ActionReply(code=Code.INTERNAL, reason="RESULT_TOO_LONG")
    # Nearly always it is just what would be read from that text.
    is_so = type(reply.result) is Written or _is_plain(reply.result)
    return ActionReply(code=OK, result=reply.result if is_so else json.loads(text))


def _is_plain(value: object) -> bool:
    """Whether a value is made of nothing but what JSON is read as."""
    if type(value) is dict:
        return _TEXT.issuperset(map(type, value)) and all(map(_is_plain, value.values()))
    return type(value) in _PLAIN
