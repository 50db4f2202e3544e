"""What the servers log: JSON, a line an event, and the process_id on every line that has one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oms.orchestrator.v1.order_process_pb2 import OrderProcess
from tests.system.harness.requests import order
from tests.system.harness.system import System


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """All there is to be logged."""
    return {"OMS_LOG_LEVEL": "debug"}


@pytest.fixture(scope="module")
async def processes(system: System) -> list[OrderProcess]:
    """A process of every kind, long over."""
    requests = [
        order(),
        order(country_code="AQ"),
        order(payment_method="pm_card_chargeDeclined"),
        order(payment_method="pm_unheard_of"),
    ]
    placed = [await system.orchestrator.place(request) for request in requests]
    returned = await system.orchestrator.cancel(placed[0].process_id, "sent back")
    await system.orchestrator.until_settled(returned)
    for service in system.services:
        assert 0 == await service.stop()
    return placed


def lines(system: System) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for service in system.services:
        for line in service.log.read_text().splitlines():
            yield service.name, line, json.loads(line)


def test_every_line_is_json_with_the_same_keys(
    system: System, processes: list[OrderProcess]
) -> None:
    assert processes
    assert [] == [
        line
        for _, line, said in lines(system)
        if not {"timestamp", "level", "event", "service"} <= said.keys()
    ]


def test_every_line_that_concerns_a_process_has_its_process_id(
    system: System, processes: list[OrderProcess]
) -> None:
    suffixes = {it.process_id.partition("_")[2]: it.process_id for it in processes}
    concerning = [
        (line, process_id, said)
        for _, line, said in lines(system)
        for suffix, process_id in suffixes.items()
        if suffix in line
    ]
    assert concerning
    assert [] == [line for line, id_, said in concerning if said.get("process_id") != id_]


def test_every_line_about_a_call_or_an_attempt_has_a_process_id(
    system: System, processes: list[OrderProcess]
) -> None:
    assert processes
    about = [
        (line, said)
        for name, line, said in lines(system)
        if "attempt" in said or (name != "orchestrator" and "method" in said)
    ]
    assert {"orchestrator", "payment_svc", "delivery_svc"} <= {it["service"] for _, it in about}
    assert [] == [line for line, said in about if not said.get("process_id")]


def test_the_orchestrator_tells_how_a_process_went(
    system: System, processes: list[OrderProcess]
) -> None:
    for process in processes:
        told = [
            said
            for name, _, said in lines(system)
            if name == "orchestrator" and said.get("process_id") == process.process_id
        ]
        assert len(told) >= 2, process.process_id


def test_nothing_went_wrong_in_the_servers_themselves(
    system: System, processes: list[OrderProcess]
) -> None:
    assert processes
    assert [] == [line for _, line, said in lines(system) if said["level"] in {"error", "critical"}]
