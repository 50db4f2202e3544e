"""Several orchestrators behind one target: commands go on with those that are there."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from console.exits import Exit
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED
from tests.console.harness.command import Ran, oms, start_oms
from tests.console.harness.fake_orchestrator import FakeOrchestrator
from tests.console.harness.faults import AWAY

Pair = tuple[FakeOrchestrator, FakeOrchestrator]


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Two on one log, which every `oms` command of the test talks to."""
    one = FakeOrchestrator()
    two = FakeOrchestrator(log_of=one)
    monkeypatch.setenv("OMS_TARGET", f"ipv4:{one.target},{two.target}")
    yield one, two
    one.stop()
    two.stop()


def place(request_id: str, *more: str, method: str = "pm_card_visa") -> Ran:
    order = ("--customer", "c1", "--item", "BOOK:2:12.50", "--payment-method", method)
    return oms("order", "place", *order, "--request-id", request_id, *more)


def written(folder: Path, keys: Sequence[int]) -> Path:
    file = folder / "spring.jsonl"
    orders = [
        {"key": str(it), "customer_id": "c1", "payment_method": "pm_card_visa"} for it in keys
    ]
    file.write_text("".join(f"{json.dumps(it)}\n" for it in orders))
    return file


def test_an_order_is_placed_where_one_of_them_is_gone(pair: Pair) -> None:
    gone, there = pair
    gone.stop()
    for number in range(4):
        assert Exit.DONE is place(f"r{number}").exit
    assert 4 == there.calls["StartOrderProcess"]


def test_one_that_drains_gets_no_new_order(pair: Pair) -> None:
    draining, there = pair
    draining.set_serving(False)
    for number in range(4):
        assert Exit.DONE is place(f"r{number}").exit
    assert (0, 4) == (draining.calls["StartOrderProcess"], there.calls["StartOrderProcess"])


def test_an_order_that_met_one_that_stops_is_sent_again_as_the_same_order(pair: Pair) -> None:
    for it in pair:
        it.fail("StartOrderProcess", AWAY)
    ran = place("r1", "--json")
    assert (Exit.DONE, ["r1"]) == (ran.exit, list(pair[0].kept))
    assert 2 <= sum(it.calls["StartOrderProcess"] for it in pair)


def test_an_import_goes_on_with_the_one_that_is_left(pair: Pair, tmp_path: Path) -> None:
    file = written(tmp_path, range(400))
    with start_oms("order", "import", str(file), "--json", "--concurrency", "8") as importing:
        pair[0].wait_for_calls("StartOrderProcess", 50)
        pair[0].stop()
        out, err = importing.communicate(timeout=60)
    assert 0 == importing.returncode, err
    assert 400 == json.loads(out)["completed"]
    assert {f"spring/{key}" for key in range(400)} == set(pair[0].kept)


def test_a_watch_goes_on_where_another_one_tells_of_the_process(pair: Pair) -> None:
    place("r1", "--no-wait", method="pm_waits")
    with start_oms("process", "watch", "r1", "--json") as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        told = next(it for it in pair if it.calls["WatchOrderProcess"])
        other = next(it for it in pair if it is not told)
        told.stop()
        other.wait_for_calls("WatchOrderProcess", 1)
        other.settle("r1", ORDER_PROCESS_STATE_COMPLETED)
        out, err = watching.communicate(timeout=60)
    assert 0 == watching.returncode, err
    revisions = [it["event"]["revision"] for it in [first, *map(json.loads, out.splitlines())]]
    assert ["1", "2", "3", "4"] == revisions


def test_where_none_of_them_serves_it_says_so(pair: Pair) -> None:
    for it in pair:
        it.set_serving(False)
    ran = oms("process", "list")
    assert Exit.FAILED is ran.exit
    assert "does not serve just now" in ran.err


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:1,127.0.0.1:2", "ipv4:localhost:1", "ipv4:127.0.0.1:1,", "dns:///a b:1", ""],
)
def test_a_target_that_can_be_none_is_bad_input_and_says_how_it_is_written(target: str) -> None:
    ran = oms("--target", target, "process", "list")
    assert Exit.BAD_INPUT is ran.exit
    assert "ipv4:127.0.0.1:50051,127.0.0.1:50061" in ran.err
