import asyncio
import socket
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis.health import LIVENESS
from chassis.server import Hosted, Server
from tests.system.harness.process import clean_environment

NAME = "oms.order.v1.OrderService"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    server = Server(
        listen="127.0.0.1:0",
        hosted=[Hosted(name=NAME, add=lambda _: None)],
        drain_grace_seconds=0,
        message_bytes_max=1_024,
    )
    await server.start()
    yield server
    await server.stop()


async def probe(*arguments: str) -> tuple[int, str]:
    """The exit code, and what it said on stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "chassis.probe",
        *arguments,
        env=clean_environment({}),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


async def test_a_server_that_serves_is_well(server: Server) -> None:
    assert (0, "") == await probe(server.address)
    assert (0, "") == await probe(server.address, "--service", NAME)


async def test_a_server_in_trouble_is_not_well_and_is_alive(server: Server) -> None:
    server.set_serving(False)
    assert (1, f"{server.address}: the server is NOT_SERVING\n") == await probe(server.address)
    assert (1, f"{server.address}: {NAME} is NOT_SERVING\n") == await probe(
        server.address, "--service", NAME
    )
    assert (0, "") == await probe(server.address, "--service", LIVENESS)


async def test_a_service_that_is_not_here_is_not_well(server: Server) -> None:
    code, told = await probe(server.address, "--service", "oms.Nobody")
    assert (1, f"{server.address}: NOT_FOUND, no such service\n") == (code, told)


async def test_of_several_servers_one_is_enough_and_the_others_are_not_told_of(
    server: Server,
) -> None:
    nobody = "127.0.0.1:1"
    assert (0, "") == await probe(nobody, server.address)
    code, told = await probe(nobody)
    assert 1 == code
    assert told.startswith(f"{nobody}: UNAVAILABLE, ")
    assert 1 == told.count("\n")


async def test_a_server_that_does_not_answer_is_waited_for_as_long_as_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        code, told = await probe(address, "--timeout-seconds", "0.2")
    assert 1 == code
    assert told.startswith(f"{address}: DEADLINE_EXCEEDED, ")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
async def test_a_time_that_cannot_be_waited_is_bad_input(seconds: str) -> None:
    code, told = await probe("127.0.0.1:1", "--timeout-seconds", seconds)
    assert 2 == code
    assert f"must be more than 0 and at most 3600 seconds, not '{seconds}'" in told
