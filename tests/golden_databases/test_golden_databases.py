"""Databases that any release left are opened by this one, and say what they said then.

When the version grows, its databases are recorded beside the former ones:
`python -m tests.golden_databases.record`.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.saga.evolve import replay
from orchestrator.saga_log.protocol import ListQuery
from orchestrator.saga_log.sql import SqlSagaLog
from orchestrator.views import stored_message
from tests.golden_databases.golden import (
    Said,
    ask,
    digests_now,
    released,
    released_digests,
    restore,
    said,
)
from tests.golden_databases.record import PROCESSES, RETIRED, record
from tests.orchestrator.edge.harness.town import Town
from tests.orchestrator.golden.golden import current_release, goldens, missing, plain

every_release = pytest.mark.parametrize("release", released())


def differences(then: Sequence[Said], now: Sequence[Said]) -> list[str]:
    return [
        line
        for one, other in zip(then, now, strict=True)
        for line in missing(one.answer, other.answer, f"{one.method} {one.request}")
    ]


def test_the_golden_databases_grow_with_each_version() -> None:
    assert current_release() in released(), "run python -m tests.golden_databases.record"


@every_release
async def test_what_was_stored_is_answered_as_it_was_then(release: str, tmp_path: Path) -> None:
    restore(release, tmp_path)
    _, end = said(release)

    async with Town(tmp_path) as town:
        now = [await ask(town, it.service, it.method, it.request) for it in end]

    assert [] == differences(end, now)


@every_release
async def test_a_request_of_then_that_comes_again_changes_nothing(
    release: str, tmp_path: Path
) -> None:
    restore(release, tmp_path)
    on_the_way, end = said(release)

    async with Town(tmp_path) as town:
        for it in on_the_way:
            again = await ask(town, it.service, it.method, it.request)
            assert again.answer.get("reason") in {it.answer.get("reason"), "ALREADY_CANCELLED"}
        now = [await ask(town, it.service, it.method, it.request) for it in end]

    assert [] == differences(end, now)


@every_release
async def test_what_was_begun_then_is_gone_on_with(release: str, tmp_path: Path) -> None:
    restore(release, tmp_path)

    async with Town(tmp_path) as town:
        moves = [
            await ask(town, "order", "ConfirmOrder", {"order_id": "ord_1"}),
            await ask(town, "order", "CancelOrder", {"order_id": "ord_2"}),
            await ask(town, "payment", "ConfirmPayment", {"payment_id": "pay_1"}),
            await ask(town, "payment", "CancelPayment", {"payment_id": "pay_2"}),
            await ask(town, "delivery", "CancelDelivery", {"delivery_id": "dlv_1"}),
        ]

    assert [
        "ORDER_STATE_CONFIRMED",
        "ORDER_STATE_CANCELLED",
        "PAYMENT_STATE_CONFIRMED",
        "PAYMENT_STATE_CANCELLED",
        "DELIVERY_STATE_CANCELLED",
    ] == [it.answer.get(it.service, it.answer).get("state") for it in moves]


@every_release
async def test_the_log_of_then_is_read(release: str, tmp_path: Path) -> None:
    restore(release, tmp_path)
    lives = {golden.life: golden for golden in goldens(release) if golden.life in PROCESSES}

    log = await SqlSagaLog.open(f"sqlite:///{tmp_path}/orchestrator.db")
    found = await log.list(ListQuery(limit=100))
    retired = {life: await log.find(key_of(life, len(it.texts))) for life, it in lives.items()}
    await log.close()

    kept = {it.row.process_id: it for it in found}
    for life, golden in lives.items():
        row = retired[life]
        assert row is not None
        assert golden.row["phase"] == row.phase
        if life == RETIRED:
            assert row.process_id not in kept
            continue
        stored = kept[row.process_id]
        assert [] == missing(golden.state, plain(replay(stored.events)))
        assert golden.row["revision"] == stored_message(stored).revision


def key_of(life: str, length: int) -> str:
    return f"prc_{life}_{length}"


# Revisions.


@every_release
def test_a_revision_that_was_released_is_never_changed(release: str) -> None:
    now = digests_now()
    for package, digests in released_digests(release).items():
        assert digests == {it: now.get(package, {}).get(it) for it in digests}, (
            f"{package}: what {release} has run somewhere never changes; write another revision"
        )


# The recorder, and what would be found out.


def test_what_was_released_is_not_recorded_again(tmp_path: Path) -> None:
    (tmp_path / current_release()).mkdir()

    with pytest.raises(FileExistsError):
        record(current_release(), tmp_path)

    assert [] == list((tmp_path / current_release()).iterdir())


@every_release
async def test_a_value_that_comes_back_otherwise_is_found_out(release: str, tmp_path: Path) -> None:
    restore(release, tmp_path)
    with closing(sqlite3.connect(tmp_path / "order.db")) as connection:
        connection.execute(
            "UPDATE orders SET delivery_address = replace(delivery_address, 'Street 1', 'Street 2')"
        )
        connection.commit()
    _, end = said(release)

    async with Town(tmp_path) as town:
        now = [await ask(town, it.service, it.method, it.request) for it in end]

    assert [] != differences(end, now)
