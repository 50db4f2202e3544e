"""The fixtures of pytest-grpc, on an event loop.

Its own server is a synchronous one, which never awaits an async servicer. So its names are kept and
what stands behind them is replaced: a real `grpc.aio` server on a free port of 127.0.0.1, one per
test module, its handlers wrapped as those of every server are. A test module gives
`grpc_add_to_server`, `grpc_servicer` (it may be an async fixture that cleans up after itself) and
`grpc_stub_cls`, and asks for `grpc_stub`, `grpc_channel` or `grpc_create_channel`.
"""

import itertools
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import hypothesis
import pytest
import pytest_asyncio

from bench.postgres import PostgresServer, running
from chassis.channels import open_channel
from chassis.handlers import Handlers

GRACE_SECONDS = 5.0

# The same examples in every run, on every machine: a test that failed fails again. The machines are
# shared, so how long an example takes says nothing.
hypothesis.settings.register_profile("oms", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("oms")


def pytest_configure() -> None:
    # A shell has its background jobs ignore Ctrl-C, and every program that is begun here would too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take long come first: so two workers end at about the same time.
LONG = ("tests/system/", "tests/bench/", "tests/console/conformance/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


class ServerUnderTest:
    """A server on a free port."""

    def __init__(self) -> None:
        self.handlers = Handlers()
        self.grpc = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", 4 * 1024 * 1024),
                ("grpc.max_send_message_length", -1),
            ],
        )
        self.address = f"127.0.0.1:{self.grpc.add_insecure_port('127.0.0.1:0')}"

    async def stop(self) -> None:
        await self.grpc.stop(GRACE_SECONDS)
        await self.handlers.idle()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_server(
    grpc_add_to_server: Callable[[Any, grpc.aio.Server], None], grpc_servicer: Any
) -> AsyncIterator[ServerUnderTest]:
    server = ServerUnderTest()
    server.handlers.host(lambda it: grpc_add_to_server(grpc_servicer, it))
    server.grpc.add_generic_rpc_handlers([server.handlers])
    await server.grpc.start()
    yield server
    await server.stop()


@pytest.fixture(scope="module")
def grpc_addr(grpc_server: ServerUnderTest) -> str:
    return grpc_server.address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_create_channel(grpc_addr: str) -> AsyncIterator[Callable[[], grpc.aio.Channel]]:
    """Makes further channels; they are closed with the module."""
    opened: list[grpc.aio.Channel] = []

    def create() -> grpc.aio.Channel:
        opened.append(open_channel(grpc_addr))
        return opened[-1]

    yield create
    for channel in opened:
        await channel.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_channel(
    grpc_create_channel: Callable[[], grpc.aio.Channel],
) -> grpc.aio.Channel:
    return grpc_create_channel()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_stub(
    grpc_stub_cls: Callable[[grpc.aio.Channel], Any], grpc_channel: grpc.aio.Channel
) -> Any:
    return grpc_stub_cls(grpc_channel)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, one for all tests of a worker, started when the first of them asks."""
    with running(durable=False) as server:
        yield server


_schemas = itertools.count(1)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """An empty schema of one's own."""
    return _new_schema(postgres)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def new_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Makes empty databases: a module's tests run on one kind, then on the other."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('database')}/database.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return lambda: _new_schema(server)


@pytest.fixture
def database_url(new_database_url: Callable[[], str]) -> str:
    """An empty database of each kind."""
    return new_database_url()


def _new_schema(server: PostgresServer) -> str:
    return f"{server.url()}?schema=test_{next(_schemas)}"
