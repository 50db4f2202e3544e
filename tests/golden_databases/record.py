"""Records the golden databases of the version that is in pyproject.toml.

    python -m tests.golden_databases.record

Invariant: a folder that is there is never written into.
"""

import asyncio
import json
import sqlite3
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from orchestrator.saga_log.sql import SqlSagaLog
from tests.golden_databases.golden import (
    DATABASES,
    FOLDER,
    Said,
    ask,
    digests_now,
    dump,
    released,
)
from tests.orchestrator.edge.harness.town import Town
from tests.orchestrator.golden.golden import current_release, goldens
from tests.orchestrator.golden.stored import store

ADDRESS: Final = {
    "recipient": "Ada Łovelace",
    "lines": ["Main Street 1", "2nd floor"],
    "locality": "Town",
    "region": "North",
    "postal_code": "1234",
    "country_code": "NL",
}
# The others of this size say nothing more.
COUNTRIES: Final = ("NL", "US")
PROCESSES: Final = ("delivered", "returned", "undeliverable", "parked", "parked-resolved")
# The first that ended.
RETIRED: Final = "delivered"


def money(minor_units: int) -> Mapping[str, Any]:
    return {"currency_code": "EUR", "minor_units": str(minor_units)}


def order(number: int) -> tuple[str, str, Mapping[str, Any]]:
    request = {
        "order_id": f"ord_{number}",
        "customer_id": "Ada",
        "items": [
            {"sku": "TEA", "quantity": 2, "unit_price": money(1_250)},
            {"sku": "CUP 'blue'", "quantity": 1, "unit_price": money(99)},
        ],
        "delivery_address": ADDRESS,
    }
    return ("order", "CreateOrder", request)


def payment(number: int, method: str = "pm_card_visa") -> tuple[str, str, Mapping[str, Any]]:
    request = {
        "payment_id": f"pay_{number}",
        "order_id": f"ord_{number}",
        "amount": money(2_599),
        "payment_method": method,
    }
    return ("payment", "CreatePayment", request)


def delivery(number: int, country: str = "NL") -> tuple[str, str, Mapping[str, Any]]:
    request = {
        "delivery_id": f"dlv_{number}",
        "order_id": f"ord_{number}",
        "address": {**ADDRESS, "country_code": country},
    }
    return ("delivery", "CreateDelivery", request)


# Each state that an entity can be in, and each that it can have come to that from.
CALLS: Final[Sequence[tuple[str, str, Mapping[str, Any]]]] = (
    *(order(number) for number in (1, 2, 3)),
    ("order", "ConfirmOrder", {"order_id": "ord_2"}),
    ("order", "CancelOrder", {"order_id": "ord_3"}),
    ("order", "CancelOrder", {"order_id": "ord_9"}),
    *(payment(number) for number in (1, 2, 3, 4)),
    payment(5, "pm_card_chargeDeclined"),
    payment(6, "pm_sandbox_confirmDeclined"),
    ("payment", "ConfirmPayment", {"payment_id": "pay_2"}),
    ("payment", "CancelPayment", {"payment_id": "pay_3"}),
    ("payment", "ConfirmPayment", {"payment_id": "pay_4"}),
    ("payment", "CancelPayment", {"payment_id": "pay_4"}),
    ("payment", "ConfirmPayment", {"payment_id": "pay_6"}),
    ("payment", "CancelPayment", {"payment_id": "pay_9"}),
    *(delivery(number) for number in (1, 2)),
    delivery(3, "AQ"),
    ("delivery", "CancelDelivery", {"delivery_id": "dlv_2"}),
    ("delivery", "CancelDelivery", {"delivery_id": "dlv_9"}),
)
QUESTIONS: Final[Sequence[tuple[str, str, Mapping[str, Any]]]] = (
    *(("order", "GetOrder", {"order_id": f"ord_{number}"}) for number in (1, 2, 3, 9)),
    *(("payment", "GetPayment", {"payment_id": f"pay_{number}"}) for number in (*range(1, 7), 9)),
    *(("delivery", "GetDelivery", {"delivery_id": f"dlv_{number}"}) for number in (1, 2, 3, 9)),
    ("order", "ListOrders", {"page_size": 100}),
    ("payment", "ListPayments", {"page_size": 100}),
    ("delivery", "ListDeliveries", {"page_size": 100}),
)


async def lived_in(folder: Path, release: str) -> tuple[list[Said], list[Said]]:
    """Makes the databases; what was said on the way, and in the end."""
    async with Town(folder) as town:
        on_the_way = [await ask(town, *call) for call in CALLS]
        end = [await ask(town, *question) for question in QUESTIONS]
    log = await SqlSagaLog.open(f"sqlite:///{folder}/orchestrator.db")
    with log.stores[0].engine.begin() as connection:
        for golden in goldens(release):
            if golden.life in PROCESSES:
                store(connection, golden, len(golden.texts))
    await log.retirement.retire(ended_before_us=2**62, now_us=1_700_000_000_000_000, limit=1)
    await log.close()
    with closing(sqlite3.connect(folder / "delivery.db")) as connection:
        connection.execute(
            f"DELETE FROM couriers WHERE country_code NOT IN {COUNTRIES}"  # noqa: S608 - our own words
        )
        connection.commit()
    return on_the_way, end


def record(release: str, folder: Path = FOLDER) -> None:
    """Writes the folder of a version.

    Raises:
        FileExistsError: It is there.
    """
    there = folder / release
    with tempfile.TemporaryDirectory() as temporary:
        databases = Path(temporary)
        on_the_way, end = asyncio.run(lived_in(databases, release))
        there.mkdir()
        for name in DATABASES:
            (there / f"{name}.sql").write_text(dump(databases / f"{name}.db"))
    both = {"on_the_way": [asdict(it) for it in on_the_way], "end": [asdict(it) for it in end]}
    (there / "said.json").write_text(f"{json.dumps(both, indent=1)}\n")
    (there / "revisions.json").write_text(f"{json.dumps(digests_now(), indent=1)}\n")


def main() -> int:
    release = current_release()
    if release in released():
        print(  # noqa: T201 - a command's answer
            f"there are golden databases of {release}, and what was released never changes: "
            "raise the version in pyproject.toml and record again",
            file=sys.stderr,
        )
        return 1
    record(release)
    print(f"golden databases of {release} recorded")  # noqa: T201 - same
    return 0


if __name__ == "__main__":
    sys.exit(main())
