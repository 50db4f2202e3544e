"""Whatever leaves a handler becomes a status, and nothing of its text reaches the caller."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from structlog.contextvars import get_contextvars

from chassis.channels import open_channel
from chassis.faults import CODES, Defect, Invalid, Overloaded, Rejected, Violation
from chassis.handlers import Handlers
from chassis.statuses import WireError, read_error

SERVICE = "tests.Echo"
SECRET = "SELECT secret FROM vault"  # what an exception may say, and no caller may read
TIMEOUT_SECONDS = 10

Context = grpc.aio.ServicerContext[StringValue, StringValue]


class Echo:
    """Does what the test at hand wants."""

    def __init__(self) -> None:
        self.on_ask: Callable[[str, Context], Awaitable[str]] = _echo
        self.on_follow: Callable[[str, Context], AsyncGenerator[str, None]] = _twice

    async def ask(self, request: StringValue, context: Context) -> StringValue:
        return StringValue(value=await self.on_ask(request.value, context))

    async def follow(
        self, request: StringValue, context: Context
    ) -> AsyncGenerator[StringValue, None]:
        async with contextlib.aclosing(self.on_follow(request.value, context)) as texts:
            async for text in texts:
                yield StringValue(value=text)

    async def write(self, request: StringValue, context: Context) -> None:
        for _ in range(2):
            await context.write(request)
        if request.value == "fail":
            raise ValueError(SECRET)

    async def gather(self, requests: AsyncIterator[StringValue], _: Context) -> StringValue:
        return StringValue(value="+".join([request.value async for request in requests]))

    async def converse(
        self, requests: AsyncIterator[StringValue], _: Context
    ) -> AsyncGenerator[StringValue, None]:
        async for request in requests:
            if request.value == "fail":
                raise ValueError(SECRET)
            yield request

    def missing(self, _: StringValue, __: Context) -> StringValue:
        raise NotImplementedError(SECRET)

    def handler(self) -> grpc.GenericRpcHandler:
        codec = (StringValue.FromString, StringValue.SerializeToString)
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Ask": grpc.unary_unary_rpc_method_handler(self.ask, *codec),
                "Follow": grpc.unary_stream_rpc_method_handler(self.follow, *codec),
                "Write": grpc.unary_stream_rpc_method_handler(self.write, *codec),
                "Gather": grpc.stream_unary_rpc_method_handler(self.gather, *codec),
                "Converse": grpc.stream_stream_rpc_method_handler(self.converse, *codec),
                "Missing": grpc.unary_unary_rpc_method_handler(self.missing, *codec),
            },
        )


async def _echo(text: str, _: Context) -> str:
    return text


async def _twice(text: str, _: Context) -> AsyncGenerator[str, None]:
    yield text
    yield text


class Setup:
    """A server, its handlers, and a caller."""

    def __init__(self, echo: Echo, handlers: Handlers, channel: grpc.aio.Channel) -> None:
        write, read = StringValue.SerializeToString, StringValue.FromString
        self.echo = echo
        self.handlers = handlers
        self.ask = channel.unary_unary(f"/{SERVICE}/Ask", write, read)
        self.ask_bytes: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/Ask"
        )
        self.follow = channel.unary_stream(f"/{SERVICE}/Follow", write, read)
        self.follow_bytes: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(
            f"/{SERVICE}/Follow"
        )
        self.write = channel.unary_stream(f"/{SERVICE}/Write", write, read)
        self.gather = channel.stream_unary(f"/{SERVICE}/Gather", write, read)
        self.converse = channel.stream_stream(f"/{SERVICE}/Converse", write, read)
        self.missing = channel.unary_unary(f"/{SERVICE}/Missing", write, read)
        self.unknown = channel.unary_unary(f"/{SERVICE}/Unknown", write, read)


@pytest_asyncio.fixture
async def setup() -> AsyncIterator[Setup]:
    echo, handlers = Echo(), Handlers()
    server = grpc.aio.server()
    handlers.host(lambda it: it.add_generic_rpc_handlers([echo.handler()]))
    server.add_generic_rpc_handlers([handlers])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield Setup(echo, handlers, channel)
    await server.stop(None)
    await handlers.idle()


def text(value: str) -> StringValue:
    return StringValue(value=value)


async def error_of(call: Any) -> grpc.aio.AioRpcError:
    """The error that a call ends in."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _ended(call)
    assert SECRET not in repr(caught.value)
    return caught.value


async def _ended(call: Any) -> None:
    if isinstance(call, grpc.aio.UnaryUnaryCall):
        await call
    else:
        async for _ in call:
            pass


async def test_what_a_handler_answers_is_left_alone(setup: Setup) -> None:
    assert await setup.ask(text("hello"), timeout=TIMEOUT_SECONDS) == text("hello")
    followed = setup.follow(text("hello"), timeout=TIMEOUT_SECONDS)
    assert [it async for it in followed] == [text("hello")] * 2
    written = setup.write(text("hello"), timeout=TIMEOUT_SECONDS)
    assert [it async for it in written] == [text("hello")] * 2
    sent = [text("a"), text("b")]
    assert await setup.gather(iter(sent), timeout=TIMEOUT_SECONDS) == text("a+b")
    conversed = setup.converse(iter(sent), timeout=TIMEOUT_SECONDS)
    assert [it async for it in conversed] == sent


@pytest.mark.parametrize("kind", [it for it in CODES if it not in {Invalid, Overloaded, Defect}])
async def test_a_fault_becomes_its_status_with_details(setup: Setup, kind: type) -> None:
    async def fail(_: str, __: Context) -> str:
        raise kind("SOME_REASON", "what happened")

    setup.echo.on_ask = fail
    error = await error_of(setup.ask(text(""), timeout=TIMEOUT_SECONDS))
    assert read_error(error) == WireError(
        code=CODES[kind], reason="SOME_REASON", message="what happened"
    )


async def test_a_fault_after_the_first_message_of_a_stream_becomes_its_status(
    setup: Setup,
) -> None:
    async def fail(it: str, _: Context) -> AsyncGenerator[str, None]:
        yield it
        raise Rejected("SOME_REASON", "what happened")

    setup.echo.on_follow = fail
    call = setup.follow(text("one"), timeout=TIMEOUT_SECONDS)
    assert await anext(aiter(call)) == text("one")
    error = await error_of(call)
    assert read_error(error).reason == "SOME_REASON"
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_very_many_violations_reach_the_caller_as_such(setup: Setup) -> None:
    async def fail(_: str, __: Context) -> str:
        raise Invalid(
            [Violation(field=f"items[{n}].sku", description="is required ✗") for n in range(1_000)]
        )

    setup.echo.on_ask = fail
    error = read_error(await error_of(setup.ask(text(""), timeout=TIMEOUT_SECONDS)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.violations[0] == Violation(field="items[0].sku", description="is required ✗")
    assert len(error.violations) > 50


async def test_a_call_that_was_turned_away_leaves_nothing_to_the_collector(setup: Setup) -> None:
    async def fail(_: str, __: Context) -> str:
        raise Overloaded("OVERLOADED", "too much", retry_after_seconds=1.0)

    async def fail_late(it: str, _: Context) -> AsyncGenerator[str, None]:
        yield it
        raise Overloaded("OVERLOADED", "too much", retry_after_seconds=1.0)

    setup.echo.on_ask, setup.echo.on_follow = fail, fail_late
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await error_of(setup.ask(text("x"), timeout=TIMEOUT_SECONDS))
            await error_of(setup.follow(text("x"), timeout=TIMEOUT_SECONDS))
        # The next call is accepted, so the library has let go of those before it; but not of it.
        await setup.unknown(text("x"), timeout=TIMEOUT_SECONDS).code()
        assert sum(type(it) is grpc.aio.AbortError for it in gc.get_objects()) <= 1
    finally:
        gc.enable()


async def test_an_unhandled_exception_is_told_as_no_more_than_internal(setup: Setup) -> None:
    async def fail(_: str, __: Context) -> str:
        raise ValueError(SECRET)

    async def fail_late(it: str, _: Context) -> AsyncGenerator[str, None]:
        yield it
        raise ValueError(SECRET)

    setup.echo.on_ask, setup.echo.on_follow = fail, fail_late
    told = WireError(code=grpc.StatusCode.INTERNAL, reason="INTERNAL", message="internal error")
    with structlog.testing.capture_logs() as logs:
        for call in (
            setup.ask(text("fail"), timeout=TIMEOUT_SECONDS),
            setup.follow(text("fail"), timeout=TIMEOUT_SECONDS),
            setup.write(text("fail"), timeout=TIMEOUT_SECONDS),
            setup.converse(iter([text("fail")]), timeout=TIMEOUT_SECONDS),
        ):
            assert read_error(await error_of(call)) == told
    assert [it["log_level"] for it in logs] == ["error"] * 4
    assert [str(it["exc_info"]) for it in logs] == [SECRET] * 4
    assert {it["method"] for it in logs} == {
        f"/{SERVICE}/{it}" for it in ("Ask", "Follow", "Write", "Converse")
    }


async def test_a_defect_is_logged_and_not_told(setup: Setup) -> None:
    async def fail(_: str, __: Context) -> str:
        raise Defect("LOST", SECRET)

    setup.echo.on_ask = fail
    with structlog.testing.capture_logs() as logs:
        error = await error_of(setup.ask(text(""), timeout=TIMEOUT_SECONDS))
    assert read_error(error).reason == "INTERNAL"
    assert [str(it["exc_info"]) for it in logs] == [f"LOST: {SECRET}"]


async def test_an_abort_of_the_handlers_own_is_left_alone(setup: Setup) -> None:
    async def abort(_: str, context: Context) -> str:
        await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    setup.echo.on_ask = abort
    error = await error_of(setup.ask(text(""), timeout=TIMEOUT_SECONDS))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "gone")


async def test_a_cancellation_from_within_gets_a_status(setup: Setup) -> None:
    async def await_cancelled() -> None:
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner

    async def ask(_: str, __: Context) -> str:
        await await_cancelled()
        return ""

    async def follow(it: str, _: Context) -> AsyncGenerator[str, None]:
        yield it
        await await_cancelled()

    setup.echo.on_ask, setup.echo.on_follow = ask, follow
    with structlog.testing.capture_logs() as logs:
        for call in (
            setup.ask(text(""), timeout=TIMEOUT_SECONDS),
            setup.follow(text(""), timeout=TIMEOUT_SECONDS),
        ):
            assert read_error(await error_of(call)).reason == "INTERNAL"
    assert [it["event"] for it in logs] == ["a handler was cancelled from within"] * 2


async def test_a_caller_that_leaves_is_no_failure(setup: Setup) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def wait(_: str, __: Context) -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return ""

    setup.echo.on_ask = wait
    with structlog.testing.capture_logs() as logs:
        call = setup.ask(text(""), timeout=TIMEOUT_SECONDS)
        await entered.wait()
        assert setup.handlers.in_flight == 1
        call.cancel()
        await left.wait()
        await setup.handlers.idle()
    assert logs == []
    assert setup.handlers.in_flight == 0


async def test_a_stream_that_its_caller_left_has_cleaned_up_before_the_server_is_idle(
    setup: Setup,
) -> None:
    cleaned = asyncio.Event()

    async def endless(it: str, _: Context) -> AsyncGenerator[str, None]:
        try:
            while True:
                yield it
        finally:
            cleaned.set()

    setup.echo.on_follow = endless
    call = setup.follow(text("x"), timeout=TIMEOUT_SECONDS)
    await call.read()
    call.cancel()
    await setup.handlers.idle()
    assert cleaned.is_set()


async def test_a_message_that_cannot_be_read_is_an_invalid_request(setup: Setup) -> None:
    for call in (
        setup.ask_bytes(b"\xff\xff\xff", timeout=TIMEOUT_SECONDS),
        setup.follow_bytes(b"\xff\xff\xff", timeout=TIMEOUT_SECONDS),
    ):
        error = read_error(await error_of(call))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert error.violations == (Violation(field="", description="the message cannot be read"),)


async def test_what_is_not_served_is_unimplemented(setup: Setup) -> None:
    for method in (setup.missing, setup.unknown):
        error = await error_of(method(text(""), timeout=TIMEOUT_SECONDS))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_process_id_of_a_call_is_on_its_log_lines_and_on_no_others(
    setup: Setup,
) -> None:
    async def bound(_: str, __: Context) -> str:
        return repr(get_contextvars())

    setup.echo.on_ask = bound
    for metadata, expected in (
        ((("oms-process-id", "prc_1"),), {"process_id": "prc_1"}),
        ((), {}),
        ((("oms-process-id", "not an id; at all"),), {}),
    ):
        answer = await setup.ask(text(""), metadata=metadata, timeout=TIMEOUT_SECONDS)
        assert answer == text(repr(expected))


async def test_a_method_is_wrapped_once_however_often_it_is_called(setup: Setup) -> None:
    await setup.ask(text("1"), timeout=TIMEOUT_SECONDS)
    wrapped = dict(setup.handlers._wrapped)
    await setup.ask(text("2"), timeout=TIMEOUT_SECONDS)
    assert setup.handlers._wrapped[f"/{SERVICE}/Ask"] is wrapped[f"/{SERVICE}/Ask"]


async def test_the_server_is_idle_only_when_the_last_handler_has_ended(setup: Setup) -> None:
    entered, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def wait(it: str, _: Context) -> str:
        entered.release()
        await go_on.wait()
        return it

    setup.echo.on_ask = wait
    calls = [setup.ask(text(str(n)), timeout=TIMEOUT_SECONDS) for n in range(3)]
    for _ in calls:
        await entered.acquire()
    idle = asyncio.ensure_future(setup.handlers.idle())
    assert setup.handlers.in_flight == 3
    assert not idle.done()
    go_on.set()
    assert [await call for call in calls] == [text("0"), text("1"), text("2")]
    await idle
