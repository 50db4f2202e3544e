# ruff: noqa: ASYNC240 - nobody else runs in this loop: a small file is looked at where it stands
"""A server whose storage is in trouble says so, is well again without a restart, or ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
import structlog
from grpc_health.v1 import health_pb2

from chassis import faults
from chassis.channels import open_channel
from chassis.database import Database
from chassis.group_commit import GroupCommit
from chassis.sentinel import serve_guarded
from chassis.server import CannotGoOn, Hosted, Server
from tests.chassis.storage.disk import Disk, Fault, HurriedTime
from tests.chassis.words.word import open_database
from tests.chassis.words.writing import insert

TIMEOUT_SECONDS = 20
NAMES = ("", "oms.word.v1.WordService", "oms.word.v1.WordAdminService")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = open_database(tmp_path)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def commits(database: Database) -> AsyncIterator[GroupCommit[str, str]]:
    time = HurriedTime()
    commits: GroupCommit[str, str] = GroupCommit(
        database.engine, insert, name="word", pause=time.pause, monotonic=time.monotonic
    )
    await commits.start()
    yield commits
    await commits.close()


class Watched:
    """A server that is guarded, and somebody who watches its health."""

    def __init__(self, server: Server, serving: asyncio.Task[None]) -> None:
        self.serving = serving
        self._channel = open_channel(server.address)

    async def until(self, wanted: int) -> None:
        """Waits until every name is as wanted, as a watcher of each is told."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await asyncio.gather(*(self._until(name, wanted) for name in NAMES))

    async def _until(self, name: str, wanted: int) -> None:
        watch = self._channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        call = watch(health_pb2.HealthCheckRequest(service=name))
        try:
            async for answer in call:
                if answer.status == wanted:
                    return
        except grpc.aio.AioRpcError:
            assert wanted == NOT_SERVING, "it is gone"
        finally:
            call.cancel()

    async def close(self) -> None:
        await self._channel.close()


@asynccontextmanager
async def guarded(database: Database, commits: GroupCommit[str, str]) -> AsyncIterator[Watched]:
    server = Server(
        listen="127.0.0.1:0",
        hosted=[Hosted(name=name, add=lambda _: None) for name in NAMES if name],
        drain_grace_seconds=0.0,
        message_bytes_max=4 * 1024 * 1024,
    )
    serving = asyncio.create_task(
        serve_guarded(server, failed=commits.failed, stores=(database,), look_seconds=0.02)
    )
    await server.started.wait()
    watched = Watched(server, serving)
    try:
        yield watched
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await watched.close()


@pytest.mark.parametrize("fault", Fault)
async def test_every_name_follows_the_storage_there_and_back(
    tmp_path: Path, database: Database, commits: GroupCommit[str, str], fault: Fault
) -> None:
    disk = Disk(database.engine, tmp_path / "words.db")
    async with guarded(database, commits) as watched:
        await watched.until(SERVING)
        disk.fail(fault)
        with pytest.raises(faults.Unavailable):
            await commits.submit("long " * 20_000)
        await watched.until(NOT_SERVING)
        disk.heal()
        await watched.until(SERVING)
        await commits.submit("a")


async def test_a_server_whose_idle_database_is_deleted_ends_and_says_what_to_do(
    tmp_path: Path, database: Database, commits: GroupCommit[str, str]
) -> None:
    async with guarded(database, commits) as watched:
        (tmp_path / "words.db").unlink()
        with pytest.raises(CannotGoOn, match=r"words\.db was deleted.*put in its place|rescued"):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await watched.serving
    assert 1 == len(list(tmp_path.glob("words.db.rescued-*")))


async def test_a_server_whose_writer_finds_the_file_replaced_ends_before_anybody_is_told(
    tmp_path: Path, database: Database, commits: GroupCommit[str, str]
) -> None:
    path = tmp_path / "words.db"
    async with guarded(database, commits) as watched:
        copy = tmp_path / "copy.db"
        copy.write_bytes(path.read_bytes())
        copy.rename(path)
        with pytest.raises(faults.Unavailable):
            await commits.submit("a")
        with pytest.raises(CannotGoOn, match="replaced while in use"):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await watched.serving
