"""Fixtures of the end-to-end tests, and what a failing one shows of its processes."""

from collections.abc import AsyncIterator, Collection, Generator

import pytest

from tests.system.harness.process import STARTED
from tests.system.harness.scripted import Scripted
from tests.system.harness.system import PARTICIPANTS, System


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """What a module's system is told beyond its defaults. A module may say otherwise."""
    return {}


@pytest.fixture(scope="module")
def by_road() -> Collection[str]:
    """Which participants a module's orchestrator reaches through a proxy: all, or as it says."""
    return PARTICIPANTS


@pytest.fixture(scope="module")
async def system(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str], by_road: Collection[str]
) -> AsyncIterator[System]:
    """The four services, shared by a module's tests."""
    whole = System(tmp_path_factory.mktemp("system"), settings=settings, by_road=by_road)
    try:
        yield await whole.start()
    finally:
        await whole.close()


@pytest.fixture(scope="module")
async def scripted() -> AsyncIterator[Scripted]:
    """Participants that answer what a script says, shared by a module's tests."""
    participants = Scripted()
    try:
        yield await participants.start()
    finally:
        await participants.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test shows the end of what each process of its folder's tests has said."""
    del item
    report = yield
    if report.failed:
        report.sections += [
            (f"log of {process.name} ({process.log})", process.tail())
            for process in sorted(STARTED, key=lambda it: it.name)
        ]
    return report
