"""The conformance suite sees it when a guard is taken out of the statement that writes."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
import sqlalchemy as sa

from orchestrator.saga_log.protocol import SagaLog
from orchestrator.saga_log.sql_appends import APPEND_GUARDS
from tests.orchestrator.saga_log.conformance import test_saga_log_writes as suite
from tests.orchestrator.saga_log_sql.harness.troubled import open_log

Test: TypeAlias = Callable[[SagaLog], Awaitable[None]]

FENCING: tuple[Test, ...] = (
    suite.test_who_proves_another_epoch_is_fenced_and_writes_nothing,
    suite.test_appends_to_many_processes_at_once_do_not_disturb_one_another,
)
SEQUENCE: tuple[Test, ...] = (
    suite.test_an_append_that_follows_an_old_revision_is_stale,
    suite.test_an_append_that_follows_a_revision_to_come_is_stale,
)


def guards_without(column: str) -> list[sa.ColumnElement[bool]]:
    left = [guard for guard in APPEND_GUARDS if column not in str(guard)]
    assert len(left) == len(APPEND_GUARDS) - 1
    return left


@pytest.mark.parametrize("test", FENCING)
async def test_without_the_epoch_in_the_statement_the_suite_goes_red(
    database_url: str, test: Test
) -> None:
    async with open_log(database_url, guards=guards_without("epoch")) as log:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await test(log)


@pytest.mark.parametrize("test", SEQUENCE)
async def test_without_the_revision_in_the_statement_the_suite_goes_red(
    database_url: str, test: Test
) -> None:
    async with open_log(database_url, guards=guards_without("revision")) as log:
        with pytest.raises((Exception, pytest.fail.Exception)):
            await test(log)


@pytest.mark.parametrize("test", [*FENCING, *SEQUENCE])
async def test_with_all_of_them_the_same_tests_are_green(database_url: str, test: Test) -> None:
    async with open_log(database_url) as log:
        await test(log)
