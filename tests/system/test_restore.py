"""What docs/operating.md says of restores, done: on a real PostgreSQL, set up as deploy/ says."""

import asyncio
import os
import shutil
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from google.protobuf.json_format import ParseDict

from bench.postgres import PostgresServer
from oms.delivery.v1.delivery_service_pb2 import CancelDeliveryRequest
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_CANCELLED, OrderProcess
from oms.order.v1.order_service_pb2 import CancelOrderRequest
from oms.payment.v1.payment_service_pb2 import (
    CancelPaymentRequest,
    ConfirmPaymentRequest,
    CreatePaymentRequest,
)
from tests.deploy.harness.operating import blocks, section, text
from tests.system.harness.command import oms, run
from tests.system.harness.requests import order
from tests.system.harness.shop import PARTICIPANTS, PASSWORD, SCHEMAS, Shop, connection_of
from tests.system.harness.system import System

# Each starts a whole system or two, which takes its time on a machine that has other work.
pytestmark = pytest.mark.timeout(300)

UNDONE = {"order": "CANCELLED", "payment": "CANCELLED", "delivery": "CANCELLED"}
DONE = {"order": "CONFIRMED", "payment": "CONFIRMED", "delivery": "ASSIGNED"}
RELEASED = {"HOLD", "CAPTURE", "RELEASE"}
TAKEN = {"HOLD", "CAPTURE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """Two backups of one shop: between them an order was placed, and an older one returned."""

    shop: Shop
    first_name: str
    early: Path
    late: Path
    kept: OrderProcess
    returned: OrderProcess
    placed: OrderProcess

    def restore(self, *, log: Path, participants: Path) -> str:
        """A database with the log and the participants of those moments.

        The gateway is outside: its ledger is as it is now, whatever is restored.
        """
        return self.shop.restore(
            dict.fromkeys(PARTICIPANTS, participants) | {"orchestrator": log, "gateway": self.late}
        )


@pytest.fixture(scope="module")
async def backups(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Backups:
    shop = Shop(postgres, tmp_path_factory.mktemp("shop"))
    name = shop.create()
    shop.init(name)
    system = await shop.open(name)
    try:
        caller = system.orchestrator
        kept, returned = await asyncio.gather(caller.place(order()), caller.place(order()))
        early = await asyncio.to_thread(shop.dump, name)
        placed = await caller.place(order())
        await caller.until_settled(await caller.cancel(returned.process_id, "returned"))
        late = await asyncio.to_thread(shop.dump, name)
    finally:
        await system.close()
    return Backups(
        shop=shop,
        first_name=name,
        early=early,
        late=late,
        kept=kept,
        returned=returned,
        placed=placed,
    )


async def findings(system: System) -> set[tuple[str, str]]:
    """What the audit finds: the kind, and which of the orders it is about."""
    answer = await oms("--target", system.orchestrator.address, "audit", "--json")
    assert answer.exit_code in {0, 6}, answer.err
    found = [it for page in answer.json_stream for it in page.get("findings", ())]
    assert (answer.exit_code == 6) == bool(found)
    ids = {name: value for it in found for name, value in it.items() if name.endswith("_id")}
    assert ids or not found
    return {
        (
            it["kind"].removeprefix("AUDIT_FINDING_KIND_"),
            next(value[4:] for name, value in it.items() if name.endswith("_id")),
        )
        for it in found
    }


def of(process: OrderProcess, *kinds: str) -> set[tuple[str, str]]:
    return {(kind, process.process_id[4:]) for kind in kinds}


async def test_each_role_sees_its_own_tables_and_no_others(backups: Backups) -> None:
    address = backups.shop.server.url(backups.first_name).partition("@")[2]

    def refused(role: str, statement: str) -> bool:
        with psycopg.connect(f"postgresql://{role}:{PASSWORD}@{address}") as connection:
            try:
                connection.execute(statement)
            except psycopg.errors.InsufficientPrivilege:
                return True
        return False

    tables = {
        "orchestrator": "events",
        "order": "orders",
        "payment": "payments",
        "gateway": "ledger_entries",
        "delivery": "deliveries",
    }
    for role in SCHEMAS:
        for schema, table in tables.items():
            select = f"SELECT * FROM oms_{schema}.{table} LIMIT 1"  # noqa: S608 - our own names
            assert refused(f"oms_{role}", select) == (role != schema), (role, schema)
        assert refused(f"oms_{role}", "CREATE TABLE public.loot (it text)")


async def test_a_backup_of_one_moment_is_whole(backups: Backups) -> None:
    name = backups.restore(log=backups.late, participants=backups.late)
    system = await backups.shop.open(name)
    try:
        assert set() == await findings(system)
        assert DONE == await system.states(backups.placed)
        assert UNDONE == await system.states(backups.returned)
    finally:
        await system.close()


async def test_of_a_backup_made_under_load_every_order_ends_and_the_gateway_knows_what_is_lost(
    backups: Backups,
) -> None:
    shop = backups.shop
    under_way, placed, middle, late = await backed_up_under_load(backups)
    name = shop.restore(dict.fromkeys(SCHEMAS, middle) | {"gateway": late})
    unsettled = "SELECT process_id FROM oms_orchestrator.processes WHERE due_time_us IS NOT NULL"
    assert {it.process_id for it in under_way} <= await shop.ids(name, unsettled)

    system = await shop.open(name, {SLOWNESS: "0"})
    try:
        caller = system.orchestrator
        known = await shop.ids(name, "SELECT process_id FROM oms_orchestrator.processes")
        for it in known:
            ended = await caller.until_settled(await caller.get(it))
            returned = it == backups.returned.process_id
            assert returned == (ended.state == ORDER_PROCESS_STATE_CANCELLED)
        assert set() == await findings(system)
        # What nobody here knows any more, though it was acknowledged: the list to be refunded.
        lost = {it.payment_id for it in placed if it.process_id not in known}
        payments = await shop.ids(name, "SELECT payment_id FROM oms_payment.payments")
        assert lost
        assert lost == await shop.ids(name, LEDGER) - payments
    finally:
        await system.close()


LEDGER = "SELECT payment_id FROM oms_gateway.ledger_entries"
SLOWNESS = "OMS_PAYMENT_SANDBOX_SLOW_SECONDS"
CALLERS = 8


async def backed_up_under_load(
    backups: Backups,
) -> tuple[list[OrderProcess], list[OrderProcess], Path, Path]:
    """What is under way all the time, what was placed, a backup from the midst, and one from after.

    Something is placed while the backup is made, and after it.
    """
    settings = {
        SLOWNESS: "86400",
        "OMS_PROCESS_DEADLINE_SECONDS": "3600",
        # The backup holds the heartbeats as well; what is restored goes on when they lapse.
        "OMS_LEASE_SECONDS": "1",
        "OMS_STEP_BACKOFF_SECONDS_MAX": "1",
    }
    system = await backups.shop.open(backups.first_name, settings)
    placed: list[OrderProcess] = []
    made = asyncio.Event()

    async def go_on() -> None:
        while not made.is_set():
            placed.append(await system.orchestrator.place(order()))
        placed.append(await system.orchestrator.place(order()))

    try:
        slow = [order(payment_method="pm_sandbox_slow") for _ in range(CALLERS)]
        under_way = [await system.orchestrator.accept(it) for it in slow]
        callers = [asyncio.create_task(go_on()) for _ in range(CALLERS)]
        middle = await asyncio.to_thread(backups.shop.dump, backups.first_name)
        made.set()
        await asyncio.gather(*callers)
        late = await asyncio.to_thread(backups.shop.dump, backups.first_name)
    finally:
        await system.close()
    return under_way, placed, middle, late


async def test_a_log_older_than_the_participants_leaves_orphans_which_are_cancelled(
    backups: Backups,
) -> None:
    name = backups.restore(log=backups.early, participants=backups.late)
    system = await backups.shop.open(name)
    placed, returned = backups.placed, backups.returned
    try:
        orphans = of(placed, "ORPHAN_ORDER", "ORPHAN_PAYMENT", "ORPHAN_DELIVERY")
        mismatches = of(
            returned, "ORDER_STATE_MISMATCH", "PAYMENT_STATE_MISMATCH", "DELIVERY_STATE_MISMATCH"
        )
        assert orphans | mismatches == await findings(system)

        await cancel_at_participants(system, placed)
        caller = system.orchestrator
        await caller.until_settled(await caller.cancel(returned.process_id, "restored"))

        assert set() == await findings(system)
        assert DONE == await system.states(backups.kept)
        assert RELEASED == await backups.shop.at_gateway(name, placed.payment_id)
    finally:
        await system.close()


async def test_participants_older_than_the_log_are_told_again_what_they_knew(
    backups: Backups,
) -> None:
    name = backups.restore(log=backups.late, participants=backups.early)
    system = await backups.shop.open(name)
    placed, returned = backups.placed, backups.returned
    try:
        missing = of(placed, "ORDER_MISSING", "PAYMENT_MISSING", "DELIVERY_MISSING")
        left = of(
            returned,
            "ORDER_OF_CANCELLED_PROCESS",
            "PAYMENT_OF_CANCELLED_PROCESS",
            "DELIVERY_OF_CANCELLED",
        )
        assert missing | left == await findings(system)

        await system.payments.CreatePayment(await payment_of(backups, name, placed))
        await system.payments.ConfirmPayment(ConfirmPaymentRequest(payment_id=placed.payment_id))
        assert TAKEN == await backups.shop.at_gateway(name, placed.payment_id)
        caller = system.orchestrator
        await caller.until_settled(await caller.cancel(placed.process_id, "restored"))
        await cancel_at_participants(system, returned)

        assert set() == await findings(system)
        assert RELEASED == await backups.shop.at_gateway(name, placed.payment_id)
    finally:
        await system.close()


async def test_cancelling_a_payment_that_was_not_made_known_leaves_the_money_taken(
    backups: Backups,
) -> None:
    """Why the order of it is in bold in docs/operating.md."""
    name = backups.restore(log=backups.late, participants=backups.early)
    system = await backups.shop.open(name)
    try:
        caller, placed = system.orchestrator, backups.placed
        await caller.until_settled(await caller.cancel(placed.process_id, "too early"))
        assert not of(placed, "PAYMENT_MISSING") & await findings(system)
        assert TAKEN == await backups.shop.at_gateway(name, placed.payment_id)
    finally:
        await system.close()


async def cancel_at_participants(system: System, process: OrderProcess) -> None:
    await system.deliveries.CancelDelivery(CancelDeliveryRequest(delivery_id=process.delivery_id))
    await system.payments.CancelPayment(CancelPaymentRequest(payment_id=process.payment_id))
    await system.orders.CancelOrder(CancelOrderRequest(order_id=process.order_id))


async def payment_of(backups: Backups, name: str, process: OrderProcess) -> CreatePaymentRequest:
    """What the payment service was asked for, with the method that the log alone knows."""

    def first_event() -> str:
        address = backups.shop.server.url(name).partition("@")[2]
        with psycopg.connect(f"postgresql://oms_orchestrator:{PASSWORD}@{address}") as connection:
            row = connection.execute(
                "SELECT body FROM events WHERE sequence = 1 AND process_id = %s",
                (process.process_id,),
            ).fetchone()
            assert row is not None
            return str(row[0])

    assert '"pm_card_visa"' in await asyncio.to_thread(first_event)
    request = {"payment_id": process.payment_id, "order_id": process.order_id}
    return ParseDict(
        {**request, "payment_method": "pm_card_visa"}, CreatePaymentRequest(amount=process.total)
    )


def four_ports() -> int:
    """The first of four ports in a row that are free; others look elsewhere at the same time."""
    for first in range(52_000 + 4 * (os.getpid() % 1_000), 60_000, 4):
        with ExitStack() as held:
            try:
                for port in range(first, first + 4):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no four ports in a row are free")


async def test_the_restore_drill_is_done_as_it_is_written(backups: Backups, tmp_path: Path) -> None:
    steps = blocks(section(text(), "The restore drill"))
    assert 6 == len(steps)
    script = "\n".join(["set -euo pipefail", *steps]).replace("51051", str(four_ports()))
    os.link(backups.late, tmp_path / "oms.dump")
    ours, theirs = Path(sys.executable).parent, backups.shop.server.binary("pg_dump").parent
    bash = shutil.which("bash")
    assert bash is not None
    drill = await run(
        [bash, "-c", script],
        folder=tmp_path,
        environment={
            **connection_of(backups.shop.server),
            "PATH": f"{ours}:{theirs}:{os.environ['PATH']}",
        },
        patience_seconds=240,
    )
    assert drill.exit_code == 0, drill.err + drill.out
    # Newest first: what the last of the backups holds.
    assert backups.placed.process_id in drill.out
    assert "Nothing is wrong." in drill.out
    assert "COMPLETED after" in drill.out
