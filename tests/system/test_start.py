"""Servers that cannot start as they are set up: a clear line, and the exit code that says so."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.harness.service import SERVICES, Service
from tests.system.harness.system import System

USAGE, CONFIGURATION = 2, 78


@pytest.fixture
async def twins(system: System, tmp_path: Path) -> AsyncIterator[list[Service]]:
    """Of each server another one, told to listen where the first does, not started yet."""
    gateway = {"OMS_PAYMENT_GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path / 'gateway.db'}"}
    made = [
        Service(it.name, folder=tmp_path, settings=gateway | {it.listen_setting: it.address})
        for it in system.services
    ]
    try:
        yield made
    finally:
        await asyncio.gather(*(it.close() for it in made))


async def last_words(service: Service, *flags: str) -> tuple[int, str]:
    """Starts a server that must not start. Returns its exit code, and the last line it said."""
    process = await service.spawn(*flags)
    code = await process.ended()
    assert "Traceback" not in process.tail()
    return code, process.tail(lines_max=1)


async def test_an_address_that_is_taken_is_told(system: System, twins: list[Service]) -> None:
    ended = await asyncio.gather(*map(last_words, twins))
    assert [CONFIGURATION] * len(SERVICES) == [code for code, _ in ended]
    for service, (_, said) in zip(system.services, ended, strict=True):
        assert service.address in said


async def test_a_database_that_is_newer_than_the_release_is_refused(system: System) -> None:
    for service in system.services:
        assert 0 == await service.stop()
        with contextlib.closing(sqlite3.connect(service.database)) as database, database:
            database.execute(f"UPDATE {service.name}_schema_version SET version_num = '9999'")  # noqa: S608 - our own table
    ended = await asyncio.gather(*map(last_words, system.services))
    assert [CONFIGURATION] * len(SERVICES) == [code for code, _ in ended]
    for service, (_, said) in zip(system.services, ended, strict=True):
        assert f"{service.name} database is at revision 9999" in said


async def test_a_setting_that_cannot_be_and_a_flag_nobody_knows_are_named(
    twins: list[Service],
) -> None:
    first, second, *_ = twins
    first.settings["OMS_DRAIN_GRACE_SECONDS"] = "soon"
    setting, flag = await asyncio.gather(last_words(first), last_words(second, "--with-cream"))
    assert [USAGE, USAGE] == [setting[0], flag[0]]
    assert "OMS_DRAIN_GRACE_SECONDS" in setting[1]
    assert "--with-cream" in flag[1]
