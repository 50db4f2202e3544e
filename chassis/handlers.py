"""The handlers of a server: what leaves one becomes a status, whatever it is.

Invariant: every RPC ends with a status, and a handler is counted from its first line to its last,
its `finally` included. Once new calls are turned away none of them reaches a handler, those about
the server itself (health, reflection) aside. Must never: let an exception's text reach a caller.

A handler is wrapped once, and the library is given the wrapped one. An interceptor would do the
same for each call anew, with a chain of coroutines; a method that is registered with the library
by its name would be one more call that it waits for at each turn of its loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, Final, NoReturn, TypeAlias, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from grpc_status import rpc_status
from structlog.contextvars import bind_contextvars
from structlog.typing import FilteringBoundLogger

from chassis.faults import Fault, Invalid, Unavailable, Violation, code_of
from chassis.statuses import internal_status, to_answer
from chassis.validation import is_identifier

PROCESS_ID_METADATA: Final = "oms-process-id"

# Of the library, not of ours: how the server is, and what it serves.
_ABOUT_THE_SERVER: Final = "/grpc."

_UNREADABLE: Final = object()

_log: FilteringBoundLogger = structlog.get_logger()

# Handlers differ by their kind, and messages by the method; nothing here looks into either.
_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
# Quoted, and annotations put off: it takes parameters only when types are checked.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Behaviour: TypeAlias = Callable[[Any, _Context], Any]


class Handlers(grpc.GenericRpcHandler):
    """Turns faults into statuses, binds the process id to the log, counts the handlers that run.

    To be given to a server as its only generic handler.
    """

    def __init__(self) -> None:
        self._hosted: list[grpc.GenericRpcHandler] = []
        self._wrapped: dict[str, _Handler] = {}
        self._turns_away = False
        self._arrived = 0
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def arrived(self) -> int:
        """How many calls there have been in all."""
        return self._arrived

    def turn_away(self) -> None:
        """Has every new call answered with UNAVAILABLE, reason DRAINING."""
        self._turns_away = True

    @property
    def in_flight(self) -> int:
        """How many handlers run."""
        return self._in_flight

    async def idle(self) -> None:
        """Returns once no handler runs."""
        await self._idle.wait()

    def host(self, add: Callable[[grpc.aio.Server], None]) -> None:
        """Has `add` put a service's handlers here, where it would put them on a server."""
        add(cast("grpc.aio.Server", self))

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As a server has it. What answers for a method is asked once, and holds for good."""
        self._hosted.extend(handlers)

    def add_registered_method_handlers(
        self, service_name: str, handlers: Mapping[str, _Handler]
    ) -> None:
        """As a server has it. Generated code gives the same ones as generic handlers, too."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Handler | None:
        """The handler for a call that has arrived; None where its method is not served."""
        self._arrived += 1
        for key, value in handler_call_details.invocation_metadata:
            # The library asks within the task of the RPC: what is bound here ends with it.
            if key == PROCESS_ID_METADATA and isinstance(value, str) and is_identifier(value):
                bind_contextvars(process_id=value)
        method = handler_call_details.method
        if (known := self._wrapped.get(method)) is not None:
            return known
        for it in self._hosted:
            if (handler := it.service(handler_call_details)) is not None:
                self._wrapped[method] = self._wrap(method, handler)
                return self._wrapped[method]
        return None

    def _wrap(self, method: str, handler: _Handler) -> _Handler:
        kind = _kind(handler)
        behaviour: _Behaviour = getattr(handler, kind)
        read = handler.request_deserializer
        if inspect.isasyncgenfunction(behaviour):
            wrapped = self._streaming(method, behaviour)
        elif inspect.iscoroutinefunction(behaviour):
            # Also a stream that writes by itself (`context.write`).
            wrapped = self._awaiting(method, behaviour)
        else:
            # Every handler of ours is async: this one is the generated base's, not overridden.
            wrapped = _unimplemented
        if read is not None and not handler.request_streaming:
            read = _forgiving(read)
        # Every kind of handler is the same named tuple.
        changed = {kind: wrapped, "request_deserializer": read}
        return cast("_Handler", cast("Any", handler)._replace(**changed))

    def _awaiting(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        async def run(request: Any, context: _Context) -> Any:  # noqa: ANN401 - any message
            self._enter()
            try:
                try:
                    if self._turns_away:
                        _check_spared(method)
                    if request is _UNREADABLE:
                        _refuse_unreadable()
                    return await behaviour(request, context)
                except grpc.aio.AbortError:
                    raise
                except asyncio.CancelledError as error:
                    answer = _answer_cancelled(method, error)
                except Exception as error:  # noqa: BLE001 - whatever it is, it must become a status
                    answer = _answer(method, error)
                # Out of the handlers: what is raised now does not hold what they caught.
                return await _end(context, answer)
            finally:
                self._leave()

        return run

    def _streaming(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        # Written out rather than yielded on: so the generator's `finally` has run when this ends,
        # where the library would leave it to the garbage collector.
        async def run(request: Any, context: _Context) -> None:  # noqa: ANN401 - any message
            self._enter()
            try:
                try:
                    if self._turns_away:
                        _check_spared(method)
                    if request is _UNREADABLE:
                        _refuse_unreadable()
                    messages: AsyncGenerator[Any, None] = behaviour(request, context)
                    async with contextlib.aclosing(messages):
                        async for message in messages:
                            await context.write(message)
                    return  # noqa: TRY300 - what comes next is for those that failed
                except grpc.aio.AbortError:
                    raise
                except asyncio.CancelledError as error:
                    answer = _answer_cancelled(method, error)
                except Exception as error:  # noqa: BLE001 - whatever it is, it must become a status
                    answer = _answer(method, error)
                await _end(context, answer)
            finally:
                self._leave()

        return run

    def _enter(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()


def _forgiving(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Reads a message; stands in for one that cannot be read, of which the library would tell."""

    def read_or_not(data: bytes) -> Any:  # noqa: ANN401 - any message
        try:
            return read(data)
        except DecodeError:
            return _UNREADABLE

    return read_or_not


def _check_spared(method: str) -> None:
    if not method.startswith(_ABOUT_THE_SERVER):
        raise Unavailable("DRAINING", "the server is stopping; ask again")


def _refuse_unreadable() -> NoReturn:
    raise Invalid([Violation(field="", description="the message cannot be read")])


def _kind(handler: _Handler) -> str:
    match handler.request_streaming, handler.response_streaming:
        case False, False:
            return "unary_unary"
        case False, True:
            return "unary_stream"
        case True, False:
            return "stream_unary"
        case _:
            return "stream_stream"


async def _unimplemented(
    request: object,  # noqa: ARG001 - whatever is asked
    context: _Context,
) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this method is not served")


async def _end(context: _Context, answer: grpc.Status) -> None:
    """Ends an RPC with a status.

    The library keeps what `abort` raises with the call, and the call is in the frames that it was
    raised through: a ring, which only the collector would take apart, and where thousands are
    turned away that is all it has to do. So it goes through no frame of ours. The library raises it
    again by itself, once the handler has returned.
    """
    try:
        await context.abort_with_status(answer)
    except grpc.aio.AbortError as error:
        error.__traceback__ = None


def _answer(method: str, error: Exception) -> grpc.Status:
    if isinstance(error, Fault) and code_of(error) is not grpc.StatusCode.INTERNAL:
        _log.debug("answered with a fault", method=method, reason=error.reason, told=error.message)
        return to_answer(error)
    _log.error("a handler failed", method=method, exc_info=error)
    return rpc_status.to_status(internal_status())


def _answer_cancelled(method: str, error: asyncio.CancelledError) -> grpc.Status:
    """How an RPC ends whose handler was cancelled, by the caller or from within."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        # The caller left, or its deadline passed, or the server stops: nobody waits for an answer.
        raise error
    # Something that the handler waited for was cancelled. Left alone, no status would ever be sent.
    _log.error("a handler was cancelled from within", method=method, exc_info=error)
    return rpc_status.to_status(internal_status())
