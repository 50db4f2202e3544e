"""Calls that arrive faster than a server can accept them."""

import asyncio
from collections import Counter

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import chassis.server
from chassis.channels import open_channel
from chassis.server import Hosted, Server

NAME = "tests.Echo"
CALLS = 5_000

Context = grpc.aio.ServicerContext[StringValue, StringValue]


async def echo(request: StringValue, _: Context) -> StringValue:
    return request


def add_to(server: grpc.aio.Server) -> None:
    method = grpc.unary_unary_rpc_method_handler(
        echo, StringValue.FromString, StringValue.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(NAME, {"Echo": method})])


async def burst() -> Counter[grpc.StatusCode]:
    """How calls end that all begin in one turn of the loop."""
    server = Server(
        listen="127.0.0.1:0",
        hosted=[Hosted(name=NAME, add=add_to)],
        drain_grace_seconds=1,
        message_bytes_max=4_096,
    )
    await server.start()
    try:
        async with open_channel(server.address) as channel:
            call = channel.unary_unary(
                f"/{NAME}/Echo", StringValue.SerializeToString, StringValue.FromString
            )
            calls = [call(StringValue(value=str(it)), timeout=60) for it in range(CALLS)]
            return Counter(await asyncio.gather(*(it.code() for it in calls)))
    finally:
        await server.stop()


async def test_a_burst_of_thousands_of_calls_is_answered() -> None:
    assert {grpc.StatusCode.OK: CALLS} == await burst()


async def test_with_a_lower_bound_the_library_cuts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis.server, "UNACCEPTED_MAX", 1_000)
    assert (await burst())[grpc.StatusCode.CANCELLED] > 0
