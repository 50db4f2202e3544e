"""A network that can be told to misbehave: a proxy between a caller and a gRPC server.

Invariant: without a snag it changes nothing: payload, metadata, deadline, status and details go
through as bytes. A request that is on its way stays on its way when its caller goes: what a network
has taken, it may still deliver.
Must never: know a message or a service; it sees the method, the metadata and bytes. Unary calls
only, and the watch by which a channel itself asks whether a server serves: that one is always
undisturbed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from bench.chaos.snags import (
    Broken,
    Doubled,
    HeldReply,
    HeldRequest,
    LostReply,
    Passage,
    Snag,
    Where,
)

Context = grpc.aio.ServicerContext[bytes, bytes]
Method = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
Watch = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
# What gRPC itself puts into metadata, and would put there twice.
_OWN_KEYS = ("user-agent", "te", "content-type")


S = TypeVar("S", bound=Snag)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What came back: a payload, or an error."""

    payload: bytes | None
    code: grpc.StatusCode
    details: str
    trailing: tuple[tuple[str, str | bytes], ...]


class Proxy(grpc.GenericRpcHandler):
    """Listens on a port of its own and passes every call on to `target`.

    Each call seen is given to `on_passage`. What `weather` gives happens to those calls that no
    snag takes.
    """

    def __init__(
        self,
        target: str,
        *,
        on_passage: Callable[[Passage], None] | None = None,
        weather: Callable[[Passage], Snag | None] | None = None,
    ) -> None:
        self._on_passage = on_passage
        self._weather = weather
        self._snags: list[Snag] = []
        self._carrying: set[asyncio.Task[_Reply]] = set()
        self._hurried = asyncio.Event()
        self._channel = grpc.aio.insecure_channel(
            target,
            options=[
                ("grpc.enable_retries", 0),
                ("grpc.enable_http_proxy", 0),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 200),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._server = grpc.aio.server(
            handlers=[self],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                # Its callers may ping as often as they like.
                ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def address(self) -> str:
        """What a caller dials."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> Self:
        """Begins to pass calls on."""
        await self._server.start()
        return self

    async def close(self) -> None:
        """Breaks every call, the held ones too."""
        carrying = tuple(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        await self._server.stop(None)
        await self._channel.close()

    def hurry(self) -> None:
        """Has what is to be seen again, or late, be seen now, and from now on at once."""
        self._hurried.set()

    async def idle(self) -> None:
        """Waits until nothing is on its way any more."""
        while self._carrying:
            await asyncio.wait(tuple(self._carrying))

    def hold_request(self, where: Where) -> HeldRequest:
        """Keeps the next such call before the server sees it."""
        return self.lay(HeldRequest(where))

    def hold_reply(self, where: Where) -> HeldReply:
        """Keeps the answer of the next such call after the server has done it."""
        return self.lay(HeldReply(where))

    def lose_reply(self, where: Where, *, times: int = 1) -> LostReply:
        """Loses the answer of the next such calls after the server has done them."""
        return self.lay(LostReply(where, times=times))

    def double(self, where: Where, *, times: int = 1) -> Doubled:
        """Shows the next such calls to the server twice."""
        return self.lay(Doubled(where, times=times))

    def lay(self, snag: S) -> S:
        """Has a snag happen from now on."""
        self._snags.append(snag)
        return snag

    def clear(self) -> None:
        """Forgets every snag. What is held stays held."""
        self._snags.clear()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """Whatever the method, its payload goes through as it is."""
        method = handler_call_details.method
        if method == HEALTH_WATCH:
            return grpc.unary_stream_rpc_method_handler(self._watch)

        async def relay(request: bytes, context: Context) -> bytes:
            return await self._relay(method, request, context)

        return grpc.unary_unary_rpc_method_handler(relay)

    async def _watch(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        """What the server says of its health, until it ends that or is gone."""
        watch: Watch = self._channel.unary_stream(HEALTH_WATCH)
        call = watch(request, timeout=context.time_remaining())
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
        except asyncio.CancelledError:
            # The library takes a server's CANCELLED for our own.
            if not call.done():
                raise
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the watch was ended")
        finally:
            call.cancel()

    async def _relay(self, method: str, request: bytes, context: Context) -> bytes:
        metadata = grpc.aio.Metadata(
            *(
                (key, value)
                for key, value in context.invocation_metadata() or ()
                if key not in _OWN_KEYS and not key.startswith("grpc-")
            )
        )
        passage = Passage(
            method=method,
            metadata=metadata,
            timeout_seconds=context.time_remaining(),
            request=request,
        )
        if self._on_passage is not None:
            self._on_passage(passage)
        # The caller may leave; what is on its way stays so.
        reply = await asyncio.shield(self._dispatch(self._carry(passage)))
        if reply.payload is None:
            await context.abort(reply.code, reply.details, reply.trailing)
        context.set_trailing_metadata(reply.trailing)
        return reply.payload

    def _dispatch(self, carrying: Coroutine[Any, Any, _Reply]) -> asyncio.Task[_Reply]:
        task = asyncio.create_task(carrying)
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        return task

    def _snag_of(self, passage: Passage) -> Snag | None:
        if (laid := next((it for it in self._snags if it.takes(passage)), None)) is not None:
            return laid
        return None if self._weather is None else self._weather(passage)

    async def _carry(self, passage: Passage) -> _Reply:
        snag = self._snag_of(passage)
        if snag is None:
            return await self._forward(passage)
        try:
            times = await snag.before(passage)
            replies = await asyncio.gather(*(self._forward(passage) for _ in range(times)))
            if snag.echo_seconds is not None:
                self._dispatch(self._echo(passage, snag.echo_seconds))
            await snag.after(passage)
        except Broken as broken:
            return _Reply(
                payload=None, code=broken.code, details="the connection broke", trailing=()
            )
        finally:
            snag.ended()
        return replies[0]

    async def _echo(self, passage: Passage, seconds: float) -> _Reply:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        return await self._forward(passage)

    async def _forward(self, passage: Passage) -> _Reply:
        method: Method = self._channel.unary_unary(passage.method)
        call = method(passage.request, metadata=passage.metadata, timeout=passage.timeout_seconds)
        # The code first: the library takes a server's CANCELLED for our own, and would cancel us.
        code = await call.code()
        return _Reply(
            payload=await call if code is grpc.StatusCode.OK else None,
            code=code,
            details=await call.details() or "",
            trailing=tuple(await call.trailing_metadata() or ()),
        )
