"""A service of a chaos run: kept running, and never left behind."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bench.chaos.layout import SERVICES
from bench.chaos.service import How, Service, WillNotRun, environment_of

GONE_SECONDS_MAX = 60


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    it = Service("order", "order_svc", folder=tmp_path)
    yield it
    await it.close()


def settings(service: Service, tmp_path: Path) -> dict[str, str]:
    return environment_of(
        {
            "OMS_ORDER_LISTEN": service.port.address,
            "OMS_ORDER_DATABASE_URL": f"sqlite:///{tmp_path / 'order.db'}",
        },
        os.environ,
    )


async def test_a_service_that_is_killed_serves_again_on_the_same_port(
    service: Service, tmp_path: Path
) -> None:
    service.start(settings(service, tmp_path))
    await service.serving()
    await service.kill()
    await service.serving()
    assert 1 == service.ended(How.KILLED)
    assert [] == service.own_ends


async def test_a_service_that_is_drained_serves_again_and_its_end_is_none_of_its_own(
    service: Service, tmp_path: Path
) -> None:
    service.start(settings(service, tmp_path))
    await service.serving()
    await service.drain()
    await service.serving()
    assert (1, 0) == (service.ended(How.DRAINED), service.ended(How.KILLED))
    assert [] == service.own_ends


async def test_a_stopped_service_can_be_killed_and_the_next_life_is_not_stopped(
    service: Service, tmp_path: Path
) -> None:
    service.start(settings(service, tmp_path))
    await service.serving()
    pausing = asyncio.create_task(service.pause(0.05))
    await asyncio.wait({pausing}, timeout=0)
    await service.kill()
    await pausing
    await service.serving()


async def test_a_service_that_cannot_run_is_given_up_and_says_why(
    service: Service, tmp_path: Path
) -> None:
    service.start(settings(service, tmp_path) | {"OMS_ORDER_LISTEN": "nowhere"})
    with pytest.raises(WillNotRun, match="OMS_ORDER_LISTEN"):
        await service.serving()
    assert [2] == service.own_ends


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(it) for it in listed.split()]


def names_in(folder: Path) -> list[str]:
    return [it.name for it in folder.iterdir()]


def is_gone(pidfd: int) -> bool:
    """Waits until a process has ended, be it ours or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(GONE_SECONDS_MAX * 1_000))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Who is started from here heeds SIGINT, also where a shell had this ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_run_that_is_ended_leaves_no_process_behind(
    number: signal.Signals, tmp_path: Path
) -> None:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.chaos", "--orders", "100000", "--seed", "7"),
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert run.stderr is not None
    try:
        await run.stderr.readline()
        serving = await run.stderr.readline()
        assert b"all serve" in serving
        fds = [os.pidfd_open(it) for it in children_of(run.pid)]
        assert len(SERVICES) <= len(fds)
        run.send_signal(number)
        code = await run.wait()
    finally:
        if run.returncode is None:
            run.kill()
        await run.communicate()
    assert code == (-signal.SIGKILL if number is signal.SIGKILL else 130)
    for pidfd in fds:
        assert is_gone(pidfd)
        os.close(pidfd)
    if number is not signal.SIGKILL:
        assert [] == names_in(tmp_path)
