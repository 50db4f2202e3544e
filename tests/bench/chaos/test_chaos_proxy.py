"""What the network of a chaos run does to calls: each fault, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.chaos.proxy import Proxy
from bench.chaos.service import dial
from bench.chaos.snags import (
    Cut,
    Delayed,
    Doubled,
    Echoed,
    Late,
    LostReply,
    Passage,
    Snag,
    anywhere,
)
from bench.chaos.weather import LOST_CODES, Fault, Weather
from chassis.health import Health

METHOD = "/some.Service/Method"
Context = grpc.aio.ServicerContext[bytes, bytes]
Answer = Callable[[bytes, Context], Awaitable[bytes]]


async def echo(request: bytes, context: Context) -> bytes:
    del context
    return b"done: " + request


class Participant(grpc.GenericRpcHandler):
    """A server of no particular service.

    It answers as `answer` does, and keeps what it has seen.
    """

    def __init__(self) -> None:
        self.answer: Answer = echo
        self.seen: asyncio.Queue[bytes] = asyncio.Queue()
        self.server = grpc.aio.server(handlers=[self], options=[("grpc.so_reuseport", 0)])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        assert METHOD == handler_call_details.method

        async def serve(request: bytes, context: Context) -> bytes:
            self.seen.put_nowait(request)
            return await self.answer(request, context)

        return grpc.unary_unary_rpc_method_handler(serve)


@pytest.fixture
async def participant() -> AsyncIterator[Participant]:
    it = Participant()
    await it.server.start()
    yield it
    await it.server.stop(None)


@pytest.fixture
async def proxy(participant: Participant) -> AsyncIterator[Proxy]:
    between = await Proxy(participant.address).start()
    yield between
    await between.close()


@pytest.fixture
async def method(proxy: Proxy) -> AsyncIterator[Any]:
    async with dial(proxy.address) as channel:
        yield channel.unary_unary(METHOD)


async def test_a_lost_reply_leaves_its_effect_behind(
    proxy: Proxy, method: Any, participant: Participant
) -> None:
    proxy.lay(LostReply())
    assert grpc.StatusCode.UNAVAILABLE is await method(b"pay").code()
    assert b"pay" == participant.seen.get_nowait()
    assert participant.seen.empty()


@pytest.mark.parametrize("code", LOST_CODES, ids=lambda it: it.name)
async def test_a_lost_reply_is_told_as_any_code_that_leaves_the_caller_in_the_dark(
    proxy: Proxy, method: Any, participant: Participant, code: grpc.StatusCode
) -> None:
    proxy.lay(LostReply(code=code))
    assert code is await method(b"pay").code()
    assert 1 == participant.seen.qsize()


async def test_a_cut_call_never_reaches_the_server(
    proxy: Proxy, method: Any, participant: Participant
) -> None:
    proxy.lay(Cut())
    assert grpc.StatusCode.UNAVAILABLE is await method(b"cut").code()
    assert b"done: next" == await method(b"next")
    assert b"next" == participant.seen.get_nowait()


async def test_a_doubled_request_reaches_the_server_twice(
    proxy: Proxy, method: Any, participant: Participant
) -> None:
    proxy.lay(Doubled())
    assert b"done: pay" == await method(b"pay")
    assert [b"pay", b"pay"] == [participant.seen.get_nowait() for _ in range(2)]


async def test_an_echo_reaches_the_server_after_the_caller_was_answered(
    proxy: Proxy, method: Any, participant: Participant
) -> None:
    proxy.lay(Echoed(seconds=0.01))
    assert b"done: pay" == await method(b"pay")
    assert [b"pay", b"pay"] == [await participant.seen.get() for _ in range(2)]
    await proxy.idle()


async def test_a_request_that_was_given_up_reaches_the_server_all_the_same(
    proxy: Proxy, method: Any, participant: Participant
) -> None:
    proxy.lay(Late(seconds=0.01))
    assert grpc.StatusCode.UNAVAILABLE is await method(b"pay").code()
    assert b"pay" == await participant.seen.get()
    await proxy.idle()
    assert participant.seen.empty()


async def test_what_is_to_arrive_late_arrives_at_once_when_hurried(
    proxy: Proxy, method: Any, participant: Participant
) -> None:
    proxy.lay(Late(seconds=3_600))
    assert grpc.StatusCode.UNAVAILABLE is await method(b"pay").code()
    assert participant.seen.empty()
    proxy.hurry()
    assert b"pay" == await participant.seen.get()


async def test_a_delayed_request_arrives_although_its_caller_has_left(
    proxy: Proxy, method: Any, participant: Participant
) -> None:
    passed = asyncio.Event()

    def notice(passage: Passage) -> bool:
        passed.set()
        return anywhere(passage)

    proxy.lay(Delayed(notice, seconds=0.05))
    call = method(b"late")
    await passed.wait()
    call.cancel()
    assert b"late" == await participant.seen.get()


@pytest.mark.parametrize(
    "code", [it for it in grpc.StatusCode if it is not grpc.StatusCode.OK], ids=lambda it: it.name
)
async def test_a_status_its_details_and_trailers_go_through_unchanged(
    method: Any, participant: Participant, code: grpc.StatusCode
) -> None:
    details = b"\x08\x09\xff"

    async def refuse(request: bytes, context: Context) -> bytes:
        del request
        await context.abort(
            code, "no, for a réason", (("grpc-status-details-bin", details), ("why", "so"))
        )

    participant.answer = refuse
    call = method(b"pay")
    assert code is await call.code()
    assert "no, for a réason" == await call.details()
    trailers = dict(await call.trailing_metadata())
    assert (details, "so") == (trailers["grpc-status-details-bin"], trailers["why"])


async def test_payload_metadata_and_deadline_go_through(
    method: Any, participant: Participant
) -> None:
    found: dict[str, Any] = {}

    async def remember(request: bytes, context: Context) -> bytes:
        found.update(context.invocation_metadata() or ())
        found["deadline"] = context.time_remaining()
        return request

    participant.answer = remember
    payload = bytes(range(256))
    assert payload == await method(payload, metadata=(("oms-process-id", "prc_1"),), timeout=30)
    assert "prc_1" == found["oms-process-id"]
    # The library rounds it up on the wire, once for each leg.
    assert 0 < found["deadline"] < 31


def passage() -> Passage:
    return Passage(
        method=METHOD, metadata=grpc.aio.Metadata(), timeout_seconds=None, request=b"request"
    )


def kinds(weather: Weather, calls: int) -> list[type[Snag] | None]:
    drawn = [weather(passage()) for _ in range(calls)]
    return [None if it is None else type(it) for it in drawn]


def test_the_same_seed_has_the_same_weather_and_another_seed_or_road_another() -> None:
    first = kinds(Weather(7, "order"), 1_000)
    assert first == kinds(Weather(7, "order"), 1_000)
    assert first != kinds(Weather(8, "order"), 1_000)
    assert first != kinds(Weather(7, "payment"), 1_000)


def test_every_fault_strikes_and_is_counted() -> None:
    weather = Weather(7, "order")
    struck = [it for it in kinds(weather, 1_000) if it is not None]
    assert set(Fault) == set(weather.struck)
    assert len(struck) == weather.struck.total()


def test_nothing_strikes_in_calm_weather() -> None:
    weather = Weather(7, "order", shares={Fault.CUT: 1.0})
    assert isinstance(weather(passage()), Cut)
    weather.calm()
    assert weather(passage()) is None
    assert 1 == weather.struck.total()


async def test_what_a_server_says_of_its_health_goes_through_and_so_does_its_end() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    health = Health(["some.Service"])
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    weather = Weather(7, "order", shares={Fault.CUT: 1.0})
    between = await Proxy(f"127.0.0.1:{port}", weather=weather).start()
    async with dial(between.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="some.Service"))
        assert health_pb2.HealthCheckResponse.NOT_SERVING == (await watch.read()).status
        health.set_serving(True)
        assert health_pb2.HealthCheckResponse.SERVING == (await watch.read()).status
        await server.stop(None)
        assert grpc.StatusCode.OK is not await watch.code()
    await between.close()
    assert 0 == weather.struck.total()


async def test_a_proxy_asks_the_weather_for_each_call(participant: Participant) -> None:
    weather = Weather(7, "order", shares={Fault.CUT: 1.0})
    between = await Proxy(participant.address, weather=weather).start()
    async with dial(between.address) as channel:
        method: Any = channel.unary_unary(METHOD)
        assert grpc.StatusCode.UNAVAILABLE is await method(b"pay").code()
    await between.close()
    assert participant.seen.empty()
