"""A server beside whose writer a sentinel stands."""

import asyncio

import grpc
import pytest

from chassis.sentinel import WriterDied, serve_guarded
from chassis.server import ListenFailed, Server

TIMEOUT_SECONDS = 20


def server(listen: str = "127.0.0.1:0") -> Server:
    return Server(
        listen=listen, hosted=[], drain_grace_seconds=1.0, message_bytes_max=4 * 1024 * 1024
    )


async def test_a_server_whose_writer_died_drains_and_fails() -> None:
    died = asyncio.Event()
    drained = asyncio.Event()

    async def failed() -> None:
        await died.wait()

    async def on_drain() -> None:
        drained.set()

    serving = asyncio.create_task(serve_guarded(server(), failed=failed, on_drain=on_drain))
    died.set()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        with pytest.raises(WriterDied):
            await serving
    assert drained.is_set()


async def test_a_server_that_cannot_listen_says_so_whatever_the_writer_does() -> None:
    taken = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    port = taken.add_insecure_port("127.0.0.1:0")
    try:
        with pytest.raises(ListenFailed):
            await serve_guarded(server(f"127.0.0.1:{port}"), failed=asyncio.Event().wait)
    finally:
        await taken.stop(None)
