"""Replicas of one service: each answers with its own name, and says how it is."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

from chassis.server import CONNECTION_AGE_SECONDS_MAX, Hosted, Server

SERVICE = "tests.Named"
# A check that nothing happens looks this often.
ROUNDS = 20
TIMEOUT_SECONDS = 20

Context = grpc.aio.ServicerContext[StringValue, StringValue]


def _method(name: str) -> "grpc.RpcMethodHandler[StringValue, StringValue]":
    async def ask(request: StringValue, _: Context) -> StringValue:
        return StringValue(value=f"{name}{request.value}")

    return grpc.unary_unary_rpc_method_handler(
        ask, StringValue.FromString, StringValue.SerializeToString
    )


def add_named(name: str, server: grpc.aio.Server) -> None:
    """Has a server answer with a name."""
    handler = grpc.method_handlers_generic_handler(SERVICE, {"Ask": _method(name)})
    server.add_generic_rpc_handlers([handler])


@asynccontextmanager
async def replica(
    name: str,
    *,
    listen: str = "127.0.0.1:0",
    connection_age_seconds_max: float = CONNECTION_AGE_SECONDS_MAX,
) -> AsyncIterator[Server]:
    """One that serves; on the way out it is gone at once."""
    server = Server(
        listen=listen,
        hosted=[Hosted(name=SERVICE, add=lambda it: add_named(name, it))],
        drain_grace_seconds=TIMEOUT_SECONDS,
        message_bytes_max=1024,
        connection_age_seconds_max=connection_age_seconds_max,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


_PROGRAM = """
import asyncio, sys
from tests.chassis.replicas import replica
async def main():
    async with replica(sys.argv[1]) as it:
        print(it.address, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@asynccontextmanager
async def replica_process(name: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """One in a process of its own, and its address; on the way out it is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, name), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Caller:
    """Calls over a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._ask = channel.unary_unary(
            f"/{SERVICE}/Ask", StringValue.SerializeToString, StringValue.FromString
        )

    async def ask(self) -> str:
        """Who answered, or the code of the error."""
        try:
            reply = await self._ask(StringValue(), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return reply.value

    async def many(self) -> Counter[str]:
        """Who answered how often."""
        return Counter([await self.ask() for _ in range(ROUNDS)])

    async def until(self, *names: str) -> None:
        """Calls until exactly these answer, for so long as it takes."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while set(await self.many()) != set(names):  # noqa: ASYNC110 - asking is the only way
                # Where every call fails at once, others need their turn.
                await asyncio.sleep(0.01)
