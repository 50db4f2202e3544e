"""One service that takes part, as the orchestrator calls it.

Invariant: an attempt is at most one call, with a deadline, and whatever becomes of it the runner
gets a reply with a code. gRPC's own retries are off (see chassis.channels): the runner alone counts
attempts. This module must never raise anything but the cancellation of its own task.

What is outstanding at one target is bounded. An attempt that finds no room waits for it as long as
the attempt may take, and then still has the whole of that time for its call. Where it finds none
nothing was sent: it ends as refused (RESOURCE_EXHAUSTED), and is made again.

How an attempt ended is told to the target's circuit breaker, where it has one. Every answer is a
sign of life, but for two codes that are also made where nobody is there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message

from chassis.calls import OnePair
from chassis.handlers import PROCESS_ID_METADATA
from chassis.statuses import read_error
from orchestrator.action import Action, ActionCall, ActionReply
from orchestrator.breaker import Breaker
from orchestrator.participants.room import Room
from orchestrator.saga.code import OK, Code
from orchestrator.saga.events import JSON

OUTSTANDING_MAX: Final = 1_000

# Made by the library where nobody answers, and by servers that cannot do their work.
_NOBODY: Final = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})
# Made where the call is: it says that it was cut off on this side.
_CUT_OFF: Final = Code.CANCELLED

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)
RequestT_contra = TypeVar("RequestT_contra", bound=Message, contravariant=True)
ReplyT_co = TypeVar("ReplyT_co", bound=Message, covariant=True)

_log = structlog.get_logger(__name__)


class Contradiction(Exception):  # noqa: N818 - said of a reply, not of this program
    """The participant said OK, but not to what it was asked."""


class Rpc(Protocol[RequestT_contra, ReplyT_co]):
    """A unary call of a generated stub."""

    def __call__(
        self,
        request: RequestT_contra,
        /,
        *,
        timeout: float | None = None,
        metadata: grpc.aio.Metadata | None = None,
    ) -> Awaitable[ReplyT_co]:
        """Makes the call."""
        ...


class Participant:
    """Makes attempts at one target."""

    def __init__(
        self, name: str, *, outstanding_max: int = OUTSTANDING_MAX, breaker: Breaker | None = None
    ) -> None:
        self._name = name
        self._breaker = breaker
        self._room = Room(outstanding_max)

    def action(
        self,
        rpc: Rpc[RequestT, ReplyT],
        build: Callable[[ActionCall], RequestT],
        read: Callable[[ActionCall, ReplyT], JSON],
    ) -> Action:
        """An action that makes one call for each attempt.

        Args:
            rpc: The call to make.
            build: Makes the request.
            read: Makes of the reply what later actions need to know. Raises Contradiction.
        """
        room, breaker = self._room, self._breaker

        async def attempt(call: ActionCall) -> ActionReply:
            if not room.enter_at_once() and not await room.enter(call.timeout_seconds):
                return self._saturated()
            lives = 0 if breaker is None else breaker.lives
            try:
                told = await rpc(
                    build(call),
                    timeout=call.timeout_seconds,
                    metadata=OnePair(PROCESS_ID_METADATA, call.process_id),
                )
                reply = ActionReply(code=OK, result=read(call, told))
            except grpc.aio.AioRpcError as error:
                reply = _refusal(error, call)
            except asyncio.CancelledError:
                reply = _cut_off()
            except Exception as error:  # noqa: BLE001 - whatever it is, the runner gets a reply
                reply = self._failed(error, call)
            finally:
                room.leave()
            if breaker is not None:
                if reply.code in _NOBODY:
                    await self._tell(breaker, call, reply, lives)
                elif reply.code is not _CUT_OFF:
                    breaker.answered()
            return reply

        return attempt

    def _failed(self, error: Exception, call: ActionCall) -> ActionReply:
        """What went wrong on this side of the wire."""
        if isinstance(error, Contradiction):
            _log.error("participant_contradicts", participant=self._name, action=call.action)
            return ActionReply(code=Code.INTERNAL, reason="REPLY_CONTRADICTS", message=str(error))
        _log.error(
            "attempt_failed_here", participant=self._name, action=call.action, exc_info=error
        )
        return ActionReply(
            code=Code.INTERNAL,
            reason="ATTEMPT_FAILED_HERE",
            message=f"the {self._name} service could not be asked, or its reply not be read",
        )

    async def _tell(
        self, breaker: Breaker, call: ActionCall, reply: ActionReply, lives: int
    ) -> None:
        """Tells of an attempt that nobody answered."""
        silent = reply.code is Code.DEADLINE_EXCEEDED
        await breaker.unanswered(
            since=lives,
            waited_seconds=call.timeout_seconds if silent else 0.0,
            seen=" ".join(filter(None, (reply.code.name, reply.reason, reply.message))),
        )

    def _saturated(self) -> ActionReply:
        return ActionReply(
            code=Code.RESOURCE_EXHAUSTED,
            reason="TARGET_SATURATED",
            message=f"too many calls to the {self._name} service are under way; none was made",
        )


def _cut_off() -> ActionReply:
    """The reply to a call that was cut off, unless it was its own task that was cancelled."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    # The call under it was: its channel was closed.
    return ActionReply(code=Code.CANCELLED, message="the call was cut off on this side")


def _refusal(error: grpc.aio.AioRpcError, call: ActionCall) -> ActionReply:
    told = read_error(error)
    message = told.message
    if told.code is grpc.StatusCode.DEADLINE_EXCEEDED and not told.reason:
        # Nobody answered: what the library then says of its stream tells a person nothing.
        message = f"no answer within {call.timeout_seconds:.3g} s"
    return ActionReply(
        code=Code(told.code.value[0]),
        reason=told.reason,
        message=message,
        retry_after_seconds=told.retry_after_seconds,
    )
