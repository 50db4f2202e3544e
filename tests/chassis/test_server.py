import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.channels import open_channel
from chassis.server import CannotStart, Hosted, ListenFailed, Server, serve
from chassis.statuses import read_error

NAME = "tests.Slow"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TIMEOUT_SECONDS = 20
MESSAGE_BYTES_MAX = 2 * 1024 * 1024  # not the library's default

Context = grpc.aio.ServicerContext[StringValue, StringValue]


class Slow:
    """Answers when it is let, and follows until it is ended."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.end_follows = asyncio.Event()
        self.cut = asyncio.Event()
        self.after_cut: Callable[[], Awaitable[None]] | None = None

    async def ask(self, request: StringValue, _: Context) -> StringValue:
        self.entered.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            if self.after_cut is not None:
                await self.after_cut()
            self.cut.set()
            raise
        return request

    async def echo(self, request: StringValue, _: Context) -> StringValue:
        return request

    async def follow(self, request: StringValue, _: Context) -> AsyncGenerator[StringValue, None]:
        yield request
        await self.end_follows.wait()
        yield StringValue(value="the end")

    def add_to(self, server: grpc.aio.Server) -> None:
        codec = (StringValue.FromString, StringValue.SerializeToString)
        methods = {
            "Ask": grpc.unary_unary_rpc_method_handler(self.ask, *codec),
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo, *codec),
            "Follow": grpc.unary_stream_rpc_method_handler(self.follow, *codec),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(NAME, methods)])


class Setup:
    """A server that has started, and a caller of it."""

    def __init__(self, slow: Slow, server: Server, channel: grpc.aio.Channel) -> None:
        write, read = StringValue.SerializeToString, StringValue.FromString
        self.slow = slow
        self.server = server
        self.ask = channel.unary_unary(f"/{NAME}/Ask", write, read)
        self.echo = channel.unary_unary(f"/{NAME}/Echo", write, read)
        self.follow = channel.unary_stream(f"/{NAME}/Follow", write, read)
        self.health: Any = health_pb2_grpc.HealthStub(channel)

    async def check(self, name: str) -> int:
        request = health_pb2.HealthCheckRequest(service=name)
        return int((await self.health.Check(request, timeout=TIMEOUT_SECONDS)).status)


def server_of(slow: Slow, *, listen: str = "127.0.0.1:0", grace_seconds: float = 10) -> Server:
    return Server(
        listen=listen,
        hosted=[Hosted(name=NAME, add=slow.add_to)],
        drain_grace_seconds=grace_seconds,
        message_bytes_max=MESSAGE_BYTES_MAX,
    )


@pytest.fixture
def grace_seconds() -> float:
    return 10


@pytest_asyncio.fixture
async def setup(grace_seconds: float) -> AsyncIterator[Setup]:
    slow = Slow()
    server = server_of(slow, grace_seconds=grace_seconds)
    await server.start()
    async with open_channel(server.address) as channel:
        yield Setup(slow, server, channel)
    await server.stop()


def text(value: str) -> StringValue:
    return StringValue(value=value)


async def refused(setup: Setup) -> grpc.aio.AioRpcError:
    """Calls until the server takes no more calls; what says so."""
    while True:
        try:
            await setup.echo(text("late"), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error


async def test_a_server_that_has_started_serves_and_says_so_for_every_name(setup: Setup) -> None:
    assert await setup.echo(text("hello"), timeout=TIMEOUT_SECONDS) == text("hello")
    assert await setup.check("") == await setup.check(NAME) == SERVING
    assert setup.server.address == f"127.0.0.1:{setup.server.port}"


async def test_a_server_can_say_that_it_does_not_serve_for_a_while(setup: Setup) -> None:
    setup.server.set_serving(False)
    assert await setup.check("") == await setup.check(NAME) == NOT_SERVING
    setup.server.set_serving(True)
    assert await setup.check(NAME) == SERVING


async def test_a_message_that_is_too_large_is_refused_and_the_next_one_served(
    setup: Setup,
) -> None:
    for size in (MESSAGE_BYTES_MAX, 5 * 1024 * 1024):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await setup.echo(text("x" * size), timeout=TIMEOUT_SECONDS)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    largest = text("x" * (MESSAGE_BYTES_MAX - 10))
    assert await setup.echo(largest, timeout=TIMEOUT_SECONDS) == largest
    assert await setup.check(NAME) == SERVING


async def test_an_address_in_use_is_said_to_be_and_is_not_shared(setup: Setup) -> None:
    second = server_of(Slow(), listen=setup.server.address)
    with pytest.raises(ListenFailed) as caught:
        await second.start()
    assert str(caught.value) == (
        f"cannot listen on {setup.server.address}: it is in use; stop what has it, or take another"
    )
    assert isinstance(caught.value, CannotStart)


@pytest.mark.parametrize("listen", ["203.0.113.7:50051", "nowhere.invalid:50051"])
async def test_an_address_that_is_not_of_this_machine_is_said_to_be_none(listen: str) -> None:
    with pytest.raises(ListenFailed, match=f"^cannot listen on {listen}: ."):
        await server_of(Slow(), listen=listen).start()


async def test_a_call_under_way_is_finished_by_the_drain(setup: Setup) -> None:
    call = setup.ask(text("hello"), timeout=TIMEOUT_SECONDS)
    await setup.slow.entered.wait()
    drain = asyncio.create_task(setup.server.drain())
    # From some moment on the server only finishes what it has.
    assert (await refused(setup)).code() is grpc.StatusCode.UNAVAILABLE
    assert not drain.done()
    setup.slow.go_on.set()
    assert await call == text("hello")
    await drain


async def test_calls_that_have_arrived_and_are_not_accepted_yet_are_served_before_the_stop(
    setup: Setup,
) -> None:
    callers = ThreadPoolExecutor(50)
    with callers, grpc.insecure_channel(setup.server.address) as channel:
        echo = channel.unary_unary(
            f"/{NAME}/Echo", StringValue.SerializeToString, StringValue.FromString
        )
        await asyncio.wrap_future(callers.submit(echo, text("0"), timeout=TIMEOUT_SECONDS))
        wanted = [text(str(number)) for number in range(50)]
        calls = [callers.submit(echo, it, timeout=TIMEOUT_SECONDS) for it in wanted]
        # Other programs do not stand still while this one's loop does: all of the calls arrive.
        time.sleep(1.5)  # noqa: ASYNC251
        drain = asyncio.create_task(setup.server.drain())
        answers = await asyncio.gather(*map(asyncio.wrap_future, calls), return_exceptions=True)
        await drain
    assert answers == wanted


async def test_callers_who_do_not_let_up_are_told_that_the_server_drains(setup: Setup) -> None:
    call = setup.ask(text("hello"), timeout=TIMEOUT_SECONDS)
    await setup.slow.entered.wait()
    drain = asyncio.create_task(setup.server.drain())
    told = read_error(await refused(setup))
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    # Whoever asks how the server is is told all the same.
    assert await setup.check(NAME) == NOT_SERVING
    setup.slow.go_on.set()
    assert await call == text("hello")
    await drain


async def test_streams_are_ended_before_the_stop_and_hold_up_nothing(setup: Setup) -> None:
    started = asyncio.get_running_loop().time()
    follow = setup.follow(text("first"), timeout=TIMEOUT_SECONDS)
    assert await follow.read() == text("first")
    watch = setup.health.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
    assert (await watch.read()).status == SERVING
    seen_before_stop: list[int] = []

    async def before_stop() -> None:
        seen_before_stop.append(await setup.check(NAME))
        setup.slow.end_follows.set()

    await setup.server.drain(before_stop=before_stop)
    assert seen_before_stop == [NOT_SERVING]
    assert await follow.read() == text("the end")
    assert await follow.read() is grpc.aio.EOF
    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    assert asyncio.get_running_loop().time() - started < 5


async def test_a_drain_goes_on_where_what_comes_before_the_stop_fails(setup: Setup) -> None:
    async def before_stop() -> None:
        raise ValueError("no luck")

    with structlog.testing.capture_logs() as logs:
        await setup.server.drain(before_stop=before_stop)
    assert [it["log_level"] for it in logs] == ["error"]


@pytest.mark.parametrize("grace_seconds", [0.05])
async def test_after_the_grace_a_call_is_cut_and_its_handler_has_ended_before_the_drain_has(
    setup: Setup,
) -> None:
    cleaning, clean = asyncio.Event(), asyncio.Event()

    async def clean_up() -> None:
        cleaning.set()
        await clean.wait()

    setup.slow.after_cut = clean_up
    call = setup.ask(text("hello"), timeout=TIMEOUT_SECONDS)
    await setup.slow.entered.wait()
    drain = asyncio.create_task(setup.server.drain())
    await cleaning.wait()
    # Left alone, the library says that it has stopped a few milliseconds later.
    assert await asyncio.wait([drain], timeout=0.2) == (set(), {drain})
    clean.set()
    await drain
    assert setup.slow.cut.is_set()
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await call


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_returns(number: signal.Signals) -> None:
    slow = Slow()
    server = server_of(slow)
    drained = asyncio.Event()

    async def on_drain() -> None:
        drained.set()

    with structlog.testing.capture_logs() as logs:
        serving = asyncio.create_task(serve(server, on_drain=on_drain))
        await server.started.wait()
        async with open_channel(server.address) as channel:
            setup = Setup(slow, server, channel)
            call = setup.ask(text("hello"), timeout=TIMEOUT_SECONDS)
            await slow.entered.wait()
            os.kill(os.getpid(), number)
            await drained.wait()
            slow.go_on.set()
            assert await call == text("hello")
        await serving
    assert [it["event"] for it in logs] == ["serving", "draining", "stopped"]
    assert logs[0]["address"] == server.address


async def test_a_second_signal_stops_at_once() -> None:
    slow = Slow()
    server = server_of(slow, grace_seconds=3_600)
    stop = asyncio.Event()
    draining = asyncio.Event()

    async def on_drain() -> None:
        draining.set()

    serving = asyncio.create_task(serve(server, on_drain=on_drain, stop=stop))
    await server.started.wait()
    async with open_channel(server.address) as channel:
        call = Setup(slow, server, channel).ask(text("hello"), timeout=TIMEOUT_SECONDS)
        await slow.entered.wait()
        stop.set()
        await draining.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
        assert slow.cut.is_set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        # It was cut, long before its time was over.
        assert caught.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("when", ["while it starts", "while it serves"])
async def test_a_serve_that_is_cancelled_leaves_no_server_behind(when: str) -> None:
    slow = Slow()
    server = server_of(slow)
    serving = asyncio.create_task(serve(server))
    if when == "while it serves":
        await server.started.wait()
    else:
        while not server.port:  # noqa: ASYNC110 - the moment before it has started
            await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    again = server_of(slow, listen=server.address)
    await again.start()
    await again.stop()


async def exit_of(program: str, tmp_path: Path) -> tuple[int | None, str]:
    """The exit code and what is on stderr of a program that calls `run`."""
    script = tmp_path / "service.py"
    script.write_text(f"from chassis.server import CannotStart, run\n{program}\nrun(main)\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    _, err = await process.communicate()
    return process.returncode, err.decode()


async def test_a_service_that_was_drained_leaves_with_0(tmp_path: Path) -> None:
    assert await exit_of("async def main(): pass", tmp_path) == (0, "")


async def test_what_a_service_imported_is_out_of_the_collectors_way(tmp_path: Path) -> None:
    program = """
import gc
async def main():
    if any(it is CannotStart for it in gc.get_objects()): raise CannotStart('it is gone through')
"""
    assert await exit_of(program, tmp_path) == (0, "")


async def test_a_service_that_cannot_start_says_why_in_one_line_and_leaves_with_78(
    tmp_path: Path,
) -> None:
    program = "async def main(): raise CannotStart('the database is newer;\\n start another')"
    assert await exit_of(program, tmp_path) == (78, "the database is newer; start another\n")


async def test_a_service_that_cannot_start_within_a_group_of_tasks_says_so_too(
    tmp_path: Path,
) -> None:
    program = """
import asyncio
async def fail(): raise CannotStart('the address is in use')
async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
"""
    assert await exit_of(program, tmp_path) == (78, "the address is in use\n")


async def test_a_defect_leaves_with_1_and_its_text_only_in_the_log(tmp_path: Path) -> None:
    program = "async def main(): raise ValueError('secret')"
    assert await exit_of(program, tmp_path) == (1, "ValueError; the log has the details\n")


async def test_an_interrupt_before_it_serves_leaves_with_130(tmp_path: Path) -> None:
    program = "async def main(): raise KeyboardInterrupt"
    assert await exit_of(program, tmp_path) == (130, "interrupted\n")
