"""Services are kept running, and stopped in order."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from console.fleet import free_ports
from console.supervisor import CannotRun, Kind, Patience, Service, Supervisor
from tests.console.harness import supervised
from tests.console.harness.supervised import Heard, service


def lines_of(diary: Path) -> list[str]:
    return diary.read_text().splitlines()


QUICK = Patience(
    start_seconds=30, stop_seconds=10, restart_floor_seconds=0.01, restart_cap_seconds=0.04
)


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path / "diary"


@pytest.fixture
def addresses() -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports()]


class Running:
    """A supervisor at work."""

    def __init__(self, services: list[Service], patience: Patience) -> None:
        self.heard = Heard()
        self.stop, self.kill = asyncio.Event(), asyncio.Event()
        self.supervisor = Supervisor(services, report=self.heard, patience=patience)
        self.task = asyncio.create_task(self.supervisor.run(self.stop, self.kill))

    def pid(self, name: str) -> int:
        return self.heard.of(Kind.STARTED, name)[-1].pid


@asynccontextmanager
async def running(*services: Service, patience: Patience = QUICK) -> AsyncIterator[Running]:
    it = Running(list(services), patience)
    try:
        yield it
    finally:
        it.stop.set()
        it.kill.set()
        await asyncio.gather(it.task, return_exceptions=True)


async def test_all_are_started_and_waited_for(diary: Path, addresses: list[str]) -> None:
    async with running(service("a", addresses[0], diary), service("b", addresses[1], diary)) as it:
        await it.supervisor.all_serving()
        assert {"a", "b"} == {told.name for told in it.heard.of(Kind.SERVING)}
        assert {"a began", "b began"} == set(lines_of(diary))


async def test_a_service_that_dies_is_started_again(diary: Path, addresses: list[str]) -> None:
    async with running(service("a", addresses[0], diary)) as it:
        await it.supervisor.all_serving()
        for time in (1, 2):
            os.kill(it.pid("a"), signal.SIGKILL)
            died = await it.heard.until(Kind.DIED, "a", count=time)
            assert (-9, "killed by SIGKILL") == (died.code, died.text)
            await it.heard.until(Kind.ALL_SERVING, count=time + 1)
        pauses = [told.restart_in_seconds for told in it.heard.of(Kind.DIED)]
        assert [0.01, 0.02] == pauses


async def test_a_service_that_was_drained_by_somebody_else_is_started_again(
    diary: Path, addresses: list[str]
) -> None:
    async with running(service("a", addresses[0], diary)) as it:
        await it.supervisor.all_serving()
        os.kill(it.pid("a"), signal.SIGTERM)
        ended = await it.heard.until(Kind.DIED, "a")
        assert (0, "drained") == (ended.code, ended.text)
        await it.heard.until(Kind.ALL_SERVING, count=2)


async def test_the_pause_before_a_restart_is_bounded(addresses: list[str]) -> None:
    dies = Service(
        name="a",
        command=(sys.executable, "-c", "raise SystemExit('out of luck')"),
        environment=dict(os.environ),
        address=addresses[0],
    )
    async with running(dies) as it:
        last = await it.heard.until(Kind.DIED, count=5)
        assert (1, "out of luck", 0.04) == (last.code, last.text, last.restart_in_seconds)


async def test_they_stop_round_by_round(diary: Path, addresses: list[str]) -> None:
    async with running(
        service("last", addresses[0], diary, round_=1), service("first", addresses[1], diary)
    ) as it:
        await it.supervisor.all_serving()
        it.stop.set()
        await it.task
        assert ["first ended", "last ended"] == lines_of(diary)[-2:]
        assert Kind.STOPPED is it.heard.all[-1].kind
        assert not it.heard.of(Kind.KILLED)


async def test_one_that_does_not_stop_in_time_is_killed(diary: Path, addresses: list[str]) -> None:
    # Long enough for the other one to end by itself, however slow the machine is just now.
    hasty = Patience(stop_seconds=4.0)
    async with running(
        service("a", addresses[0], diary, "stubborn"),
        service("b", addresses[1], diary, round_=1),
        patience=hasty,
    ) as it:
        await it.supervisor.all_serving()
        it.stop.set()
        await it.task
        assert ["a"] == [told.name for told in it.heard.of(Kind.KILLED)]
        assert "b ended" in lines_of(diary)


async def test_a_second_wish_to_stop_kills(diary: Path, addresses: list[str]) -> None:
    async with running(service("a", addresses[0], diary, "stubborn")) as it:
        await it.supervisor.all_serving()
        it.stop.set()
        await it.heard.until(Kind.STOPPING)
        it.kill.set()
        await it.task
        assert ["a"] == [told.name for told in it.heard.of(Kind.KILLED)]


async def test_one_that_is_misconfigured_stops_all_with_its_message(
    diary: Path, addresses: list[str]
) -> None:
    async with running(
        service("a", addresses[0], diary), service("b", addresses[1], diary, "misconfigured")
    ) as it:
        message = "b cannot start: b: the database is newer than this release"
        with pytest.raises(CannotRun, match=message):
            await it.task
        assert [message] == [told.text for told in it.heard.of(Kind.STOPPING)]
        assert not it.heard.of(Kind.DIED)


def server_at(address: str) -> Service:
    """One with a real server, which says why it cannot listen as every service of ours does."""
    program = (
        "from chassis.server import Server, run, serve\n"
        "async def main():\n"
        f"    listen = {address!r}\n"
        "    server = Server(\n"
        "        listen=listen, hosted=[], drain_grace_seconds=0, message_bytes_max=4096\n"
        "    )\n"
        "    await serve(server)\n"
        "run(main)\n"
    )
    return Service(
        name="a",
        command=(sys.executable, "-c", program),
        environment=dict(os.environ),
        address=address,
    )


async def test_a_port_that_is_in_use_for_a_moment_is_waited_for(addresses: list[str]) -> None:
    host, _, port = addresses[0].partition(":")
    with socket.create_server((host, int(port))) as held:
        async with running(server_at(addresses[0])) as it:
            died = await it.heard.until(Kind.DIED, "a")
            assert f"cannot listen on {addresses[0]}: it is in use" in died.text
            held.close()
            await it.supervisor.all_serving()


async def test_a_port_that_stays_in_use_stops_all_with_its_message(addresses: list[str]) -> None:
    host, _, port = addresses[0].partition(":")
    with socket.create_server((host, int(port))):
        async with running(server_at(addresses[0])) as it:
            with pytest.raises(CannotRun, match=r"^a cannot start: .*it is in use"):
                await it.task
            assert 5 == len(it.heard.of(Kind.DIED))


async def test_one_that_never_serves_stops_all(diary: Path, addresses: list[str]) -> None:
    hasty = Patience(start_seconds=1.0)
    async with running(
        service("a", addresses[0], diary),
        service("b", addresses[1], diary, "late"),
        patience=hasty,
    ) as it:
        with pytest.raises(CannotRun, match=r"not SERVING after 1 s: .*b"):
            await it.task


async def test_lines_are_passed_on_whatever_they_hold(diary: Path, addresses: list[str]) -> None:
    async with running(service("a", addresses[0], diary, "talkative")) as it:
        await it.supervisor.all_serving()
        it.stop.set()
        await it.task
        lines = [told.text for told in it.heard.of(Kind.LINE, "a")]
    assert "a line" == lines[0]
    assert "no end" + "x" * 200_000 == "".join(lines[1:-1])
    assert "\ufffd\x1b[31m" == lines[-1]


def test_nobody_outlives_a_supervisor_that_is_killed(diary: Path, addresses: list[str]) -> None:
    program = [sys.executable, supervised.__file__, str(diary), *addresses[:2]]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as supervising:
        assert supervising.stdout is not None
        pids = []
        for line in supervising.stdout:
            kind, pid = line.split()
            if kind == Kind.ALL_SERVING:
                break
            pids.append(int(pid))
        # These become readable when their process ends, whoever its parent is by then.
        handles = [os.pidfd_open(pid) for pid in pids]
        try:
            supervising.kill()
            for handle in handles:
                assert [handle] == select.select([handle], [], [], 30)[0]
        finally:
            for handle in handles:
                os.close(handle)
    assert 2 == len(pids)
    assert ["s0 began", "s1 began"] == sorted(lines_of(diary))
