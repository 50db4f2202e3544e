"""An import while the orchestrator is killed once and the command once: a row is one process.

OMS_TEST_IMPORT_ROWS says how many rows there are; the design's own number is 10,000.
"""

import csv
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED
from tests.system.harness.audit import contradictions, everything
from tests.system.harness.command import oms, start_oms
from tests.system.harness.system import System

ROWS = int(os.environ.get("OMS_TEST_IMPORT_ROWS", "600"))
PATIENCE_SECONDS = 60 + ROWS / 10
COLUMNS = (
    "key",
    "customer_id",
    "sku",
    "quantity",
    "unit_price_minor_units",
    "currency_code",
    "payment_method",
    "recipient",
    "line1",
    "locality",
    "postal_code",
    "country_code",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What is ordered so that it ends well, or not."""

    payment_method: str = "pm_card_visa"
    country_code: str = "US"
    fine: bool = True


def fate_of(number: int) -> Fate:
    """That of a row: three in ten end badly, each in its own way."""
    match number % 10:
        case 0:
            return Fate(payment_method="pm_card_chargeDeclined", fine=False)
        case 1:
            return Fate(payment_method="pm_sandbox_confirmDeclined", fine=False)
        case 2:
            return Fate(country_code="AQ", fine=False)
        case _:
            return Fate()


@pytest.fixture(scope="module")
def by_road() -> Collection[str]:
    """The calls to OrderService tell how far the import is."""
    return ("order",)


def written(folder: Path) -> Path:
    """The file to import."""
    file = folder / "spring.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for number in range(ROWS):
            fate = fate_of(number)
            order = (f"cust-{number % 97}", "BOOK", 2, 1_250, "USD", fate.payment_method)
            address = ("Ada", "1 Market St", "San Francisco", "94105", fate.country_code)
            writer.writerow([number, *order, *address])
    return file


@pytest.mark.timeout(4 * PATIENCE_SECONDS)
async def test_every_row_is_exactly_one_process_whoever_is_killed_meanwhile(
    system: System, tmp_path: Path
) -> None:
    file = written(tmp_path)
    command = ["--target", system.orchestrator.address, "order", "import", str(file), "--json"]
    importing = await start_oms(*command, folder=tmp_path)
    await system.roads.passed("CreateOrder", ROWS // 4)
    await system.orchestrator.kill()
    await system.orchestrator.restart()
    await system.roads.passed("CreateOrder", ROWS // 2)
    assert importing.running
    await importing.kill()

    again = await oms(*command, folder=tmp_path, patience_seconds=PATIENCE_SECONDS)
    assert 0 == again.exit_code, again.err
    fine = sum(fate_of(number).fine for number in range(ROWS))
    summary = again.json
    assert (ROWS, fine, ROWS - fine, 0, 0, 0) == (
        summary["accepted"],
        summary["completed"],
        summary["cancelled"],
        summary["parked"],
        summary["rejected"],
        summary["still_going"],
    )
    await all_is_as_it_should_be(system)


async def all_is_as_it_should_be(system: System) -> None:
    """Every row is one process that ended as it must, and everybody agrees."""
    found = await everything(system)
    ended = {it.request_id: it.state == ORDER_PROCESS_STATE_COMPLETED for it in found.processes}
    assert {f"spring/{number}": fate_of(number).fine for number in range(ROWS)} == ended
    assert ROWS == len(found.processes)
    assert [] == contradictions(found)
