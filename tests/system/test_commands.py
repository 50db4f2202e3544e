"""The `oms` command and the README's own calls, against the real servers."""

import json
import re
import shlex
from pathlib import Path

import pytest

from bench.chaos.snags import HeldReply
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED
from tests.system.harness.command import grpcurl, oms, start_oms
from tests.system.harness.requests import fresh, order
from tests.system.harness.system import System

README = Path(__file__).parents[2] / "README.md"
CANCELLED = 3


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """A call that a test holds is not given up and made again."""
    return {"OMS_ATTEMPT_TIMEOUT_SECONDS": "60"}


def ready_to_paste(beginning: str) -> list[str]:
    """The README's command that begins so, as a shell splits it, without its first word."""
    text = README.read_text()
    start = text.index(f"\n{beginning}") + 1
    # To the end of the line, across quoted line breaks and those behind a backslash.
    found = re.compile(r"(?:'[^']*'|\"[^\"]*\"|\\\n|[^'\"\n])*").match(text, start)
    assert found is not None
    return shlex.split(found[0].replace("\\\n", " "), comments=True)[1:]


async def test_the_order_in_the_readme_is_placed_by_oms(system: System) -> None:
    pasted = ready_to_paste("oms order place")
    placed = await oms("--target", system.orchestrator.address, *pasted)
    assert 0 == placed.exit_code, placed.err
    assert "COMPLETED" in placed.out


async def test_the_order_in_the_readme_is_placed_by_grpcurl(system: System) -> None:
    plaintext, *pasted = ready_to_paste("grpcurl -plaintext -d '{\n")
    assert "-plaintext" == plaintext
    here = [system.orchestrator.address if it == "127.0.0.1:50051" else it for it in pasted]
    placed = await grpcurl(*here)
    assert 0 == placed.exit_code, placed.err
    assert "ORDER_PROCESS_STATE_COMPLETED" == placed.json["process"]["state"]


async def test_an_order_is_placed_found_listed_and_returned(system: System) -> None:
    at, request_id, customer = system.orchestrator.address, fresh("shop"), fresh("cust")
    pasted = ready_to_paste("oms order place")
    pasted[pasted.index("--customer") + 1] = customer
    placed = await oms("--target", at, *pasted, "--request-id", request_id, "--json")
    assert 0 == placed.exit_code, placed.err
    found = await oms("--target", at, "process", "get", request_id, "--json")
    listed = await oms(
        *("--target", at, "process", "list", "--customer", customer),
        *("--state", "COMPLETED", "--json"),
    )
    process_id = found.json["process"]["process_id"]
    assert [process_id] == [it["process_id"] for it in listed.json["processes"]]
    returned = await oms(
        *("--target", at, "process", "cancel", request_id),
        *("--reason", "sent back", "--wait", "--json"),
    )
    assert 0 == returned.exit_code, returned.err
    watched = await oms("--target", at, "process", "watch", process_id)
    assert CANCELLED == watched.exit_code, watched.err
    assert "sent back" in watched.out


async def test_an_order_that_is_declined_ends_the_command_with_the_code_of_a_cancelled_one(
    system: System,
) -> None:
    pasted = ready_to_paste("oms order place")
    pasted[pasted.index("--payment-method") + 1] = "pm_card_chargeDeclined"
    placed = await oms("--target", system.orchestrator.address, *pasted)
    assert CANCELLED == placed.exit_code, placed.err
    assert "PAYMENT_DECLINED" in placed.out


async def test_a_watch_rides_over_the_death_of_the_orchestrator_and_misses_nothing(
    system: System, tmp_path: Path
) -> None:
    request = order()
    hold = system.roads.hold(HeldReply, request.customer_id, "ConfirmPayment")
    accepted = await system.orchestrator.accept(request)
    watching = await start_oms(
        *("--target", system.orchestrator.address, "process", "watch", accepted.process_id),
        "--json",
        folder=tmp_path,
        heard=True,
    )
    try:
        await hold.reached()
        # STARTED, two attempts that began and ended, and the third that began.
        seen = [json.loads(await watching.line()) for _ in range(6)]
        await system.orchestrator.kill()
        hold.lose()
        await system.orchestrator.restart()
        # The third is made again, then the other two; COMPLETED.
        seen += [json.loads(await watching.line()) for _ in range(7)]
        assert 0 == await watching.ended()
    finally:
        await watching.close()
    assert [str(number) for number in range(1, 14)] == [it["event"]["revision"] for it in seen]
    settled = await system.orchestrator.get(accepted.process_id)
    assert (ORDER_PROCESS_STATE_COMPLETED, 13) == (settled.state, settled.revision)


async def test_an_order_placed_while_the_orchestrator_is_away_is_accepted_when_it_is_back(
    system: System, tmp_path: Path
) -> None:
    await system.orchestrator.kill()
    placing = await start_oms(
        *("--target", system.orchestrator.address, *ready_to_paste("oms order place")),
        folder=tmp_path,
    )
    await system.orchestrator.restart()
    assert 0 == await placing.ended(), placing.tail()
    assert "COMPLETED" in placing.tail()
