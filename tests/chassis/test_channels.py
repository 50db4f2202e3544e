import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from chassis import channels
from chassis.channels import is_one_server, open_channel
from chassis.server import Server
from tests.chassis.name_server import name_server
from tests.chassis.replicas import (
    ROUNDS,
    SERVICE,
    Caller,
    add_named,
    replica,
    replica_process,
)


@asynccontextmanager
async def calling(target: str, *, service: str | None = SERVICE) -> AsyncIterator[Caller]:
    async with open_channel(target, service=service) as channel:
        yield Caller(channel)


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Server, Server, Caller]]:
    """Two replicas, and a caller that has reached both."""
    async with (
        replica("a") as a,
        replica("b") as b,
        calling(f"ipv4:{a.address},{b.address}") as caller,
    ):
        await caller.until("a", "b")
        yield a, b, caller


async def test_a_channel_says_at_once_that_nobody_is_there() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        ask = channel.unary_unary("/tests.Nobody/Ask")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("target", "one"),
    [
        ("127.0.0.1:50052", True),
        ("[::1]:50052", True),
        ("orders:50052", False),
        ("localhost:50052", False),
        ("dns:///orders:50052", False),
        ("ipv4:127.0.0.1:1,127.0.0.1:2", False),
    ],
)
def test_what_can_be_several_servers_is_balanced(target: str, one: bool) -> None:
    assert one is is_one_server(target)


async def test_calls_go_to_all_replicas_in_turn() -> None:
    async with two() as (_, _, caller):
        assert {"a": ROUNDS // 2, "b": ROUNDS // 2} == await caller.many()


async def test_a_replica_that_says_not_serving_is_left_out_until_it_serves_again() -> None:
    async with two() as (_, b, caller):
        b.set_serving(False)
        await caller.until("a")
        b.set_serving(True)
        await caller.until("a", "b")


async def test_without_the_health_a_replica_in_trouble_is_called_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unchecked(_: str | None) -> tuple[str, str]:
        return (
            "grpc.service_config",
            json.dumps({"loadBalancingConfig": [{"round_robin": {}}]}),
        )

    monkeypatch.setattr(channels, "_balanced", unchecked)
    async with replica("a") as a, replica("b") as b:
        b.set_serving(False)
        async with calling(f"ipv4:{a.address},{b.address}") as caller:
            await caller.until("a", "b")


async def test_a_replica_that_drains_gets_no_new_calls_and_ends_in_peace() -> None:
    async with two() as (_, b, caller):
        drained = asyncio.ensure_future(b.drain())
        answered = set()
        while not drained.done():
            answered.add(await caller.ask())
        await drained
        await caller.until("a")
    # Of those under way or just sent, none was cut.
    assert answered <= {"a", "b"}


async def test_where_no_replica_serves_calls_fail_at_once_and_succeed_when_one_does() -> None:
    async with replica("a") as a, calling(f"ipv4:{a.address}") as caller:
        await caller.until("a")
        a.set_serving(False)
        await caller.until("UNAVAILABLE")
        a.set_serving(True)
        await caller.until("a")


async def test_a_single_address_is_called_whatever_its_health_says() -> None:
    async with replica("a") as a, calling(a.address) as caller:
        a.set_serving(False)
        assert {"a": ROUNDS} == await caller.many()


async def test_a_server_without_the_health_service_is_called() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_named("bare", server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with calling(f"ipv4:127.0.0.1:{port}") as caller:
        answered = await caller.many()
    await server.stop(None)
    assert {"bare": ROUNDS} == answered


async def test_a_replica_that_is_gone_is_left_out_and_found_when_it_is_back() -> None:
    async with two() as (_, b, caller):
        await b.stop()
        await caller.until("a")
        async with replica("b", listen=b.address):
            await caller.until("a", "b")


async def test_a_replica_that_is_killed_costs_no_more_than_what_it_was_answering() -> None:
    async with (
        replica_process("killed") as (process, address),
        replica("a") as a,
        calling(f"ipv4:{a.address},{address}") as caller,
    ):
        await caller.until("a", "killed")
        process.kill()
        await process.wait()
        answered = [await caller.ask() for _ in range(2 * ROUNDS)]
        await caller.until("a")
    # One call may have been sent into the connection before its end was known.
    assert answered.count("UNAVAILABLE") <= 1
    assert {"a"} == set(answered) - {"UNAVAILABLE"}


async def test_a_replica_that_stands_still_is_left_out_once_a_ping_is_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "PING_TIMEOUT_MS", 500)
    async with (
        replica_process("still") as (process, address),
        replica("a") as a,
        calling(f"ipv4:{a.address},{address}") as caller,
    ):
        await caller.until("a", "still")
        process.send_signal(signal.SIGSTOP)
        # Their deadline is much later.
        await caller.until("a")
        process.send_signal(signal.SIGCONT)
        await caller.until("a", "still")


async def test_replicas_that_come_later_are_found_when_a_connection_has_had_its_age() -> None:
    async with name_server("127.0.0.1") as names, replica("a", connection_age_seconds_max=1) as a:
        target = f"dns://127.0.0.1:{names.port}/replicas.test:{a.port}"
        async with calling(target) as caller:
            assert "a" == await caller.ask()
            async with replica("b", listen=f"127.0.0.2:{a.port}"):
                names.addresses.append("127.0.0.2")
                await caller.until("a", "b")
