"""`oms order import`: whatever breaks off, every row is one process."""

import csv
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest

from console.exits import Exit
from console.import_file import COLUMNS
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED
from tests.console.harness.command import Ran, oms, start_oms
from tests.console.harness.fake_orchestrator import FakeOrchestrator
from tests.console.harness.faults import AWAY, Fault


def written(folder: Path, methods: Sequence[str], *, name: str = "spring.csv") -> Path:
    """A file with an order for each payment method, keys 0, 1, 2, …"""
    file = folder / name
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for key, method in enumerate(methods):
            address = ("Ada", "1 Market St", "", "SF", "", "94105", "US")
            writer.writerow([key, f"c{key}", "BOOK", 2, 1250, "USD", method, *address])
    return file


def imported(file: Path, *more: str) -> Ran:
    return oms("order", "import", str(file), *more)


def rejected(folder: Path, name: str = "spring.rejected.csv") -> list[dict[str, str]]:
    with (folder / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_row_is_sent_and_counted_by_how_it_ended(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    methods = ["pm_card_visa"] * 20 + ["pm_card_chargeDeclined"] * 5
    ran = imported(written(tmp_path, methods), "--json")
    assert Exit.DONE is ran.exit
    counts = ("accepted", "completed", "cancelled", "parked", "rejected", "still_going")
    assert [25, 20, 5, 0, 0, 0] == [ran.json[it] for it in counts]
    assert ran.json["read_to_the_end"]
    assert {f"spring/{key}" for key in range(25)} == set(orchestrator.kept)
    assert 25 == orchestrator.calls["StartOrderProcess"]
    assert not (tmp_path / "spring.rejected.csv").exists()


def test_the_summary_is_for_a_person_too(orchestrator: FakeOrchestrator, tmp_path: Path) -> None:
    ran = imported(written(tmp_path, ["pm_card_visa"] * 3), "--name", "winter")
    assert ["accepted", "3"] == ran.out.split()[:2]
    assert "winter/0" in orchestrator.kept


def test_a_run_again_makes_nothing_new(orchestrator: FakeOrchestrator, tmp_path: Path) -> None:
    file = written(tmp_path, ["pm_card_visa"] * 10)
    imported(file)
    ran = imported(file, "--json")
    assert (Exit.DONE, 10, 10) == (ran.exit, ran.json["completed"], len(orchestrator.kept))


@pytest.mark.usefixtures("orchestrator")
def test_rejected_rows_are_written_with_where_and_why(tmp_path: Path) -> None:
    file = written(tmp_path, ["pm_card_visa"] * 4)
    text = file.read_text().splitlines()
    text[2] = text[2].replace("c1,", ",")
    text[3] = text[3].replace(",2,1250", ",two,1250")
    text.append(text[1])
    file.write_text("\n".join(text))
    ran = imported(file)
    assert Exit.BAD_INPUT is ran.exit
    assert [
        ("2", "4", "INVALID_ROW", 'quantity: "two" is not a whole number within bounds (line 4)'),
        ("0", "6", "DUPLICATE_KEY", 'key: "0" is already that of line 2'),
        ("1", "3", "INVALID_REQUEST", "customer_id: is required; items: must be 1 to 1,000"),
    ] == sorted(
        (
            (row["key"], row["rejected_line"], row["rejected_reason"], row["rejected_details"])
            for row in rejected(tmp_path)
        ),
        key=lambda it: it[2] != "INVALID_ROW",
    )
    assert "3 rows in" in ran.out


def test_rejected_rows_once_mended_are_imported_under_the_same_name(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    file = written(tmp_path, ["pm_card_visa"] * 3)
    file.write_text(file.read_text().replace("1,c1", "1,"))
    assert Exit.BAD_INPUT is imported(file).exit
    left = tmp_path / "spring.rejected.csv"
    left.write_text(left.read_text().replace("1,,", "1,c1,"))
    assert Exit.DONE is imported(left, "--name", "spring").exit
    assert {"spring/0", "spring/1", "spring/2"} == set(orchestrator.kept)


@pytest.mark.usefixtures("orchestrator")
def test_of_rejected_rows_the_first_reasons_are_told_and_what_to_type_next(tmp_path: Path) -> None:
    file = written(tmp_path, ["pm_card_visa"] * 8)
    file.write_text(file.read_text().replace(",BOOK,2,", ",BOOK,two,"))
    ran = imported(file)
    assert Exit.BAD_INPUT is ran.exit
    first, *_, more, command = ran.err.splitlines()
    assert first.startswith('  line 2  INVALID_ROW  quantity: "two" is not a whole number')
    assert "  … and 3 more" == more
    left = tmp_path / "spring.rejected.csv"
    assert f"Mend them, then: oms order import {left} --name spring" == command


@pytest.mark.usefixtures("orchestrator")
def test_rejected_rows_keep_the_order_of_their_columns(tmp_path: Path) -> None:
    columns = [it for it in reversed(COLUMNS) if it != "region"]
    file = tmp_path / "spring.csv"
    file.write_text(",".join(columns) + "\n" + ",".join("x" for _ in columns) + "\n")
    imported(file)
    header = (tmp_path / "spring.rejected.csv").read_text().splitlines()[0].split(",")
    assert [*columns, "rejected_line", "rejected_reason", "rejected_details"] == header


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
@pytest.mark.usefixtures("orchestrator")
def test_a_file_that_is_not_utf_8_says_so(tmp_path: Path, encoding: str) -> None:
    file = written(tmp_path, ["pm_card_visa"])
    file.write_bytes(file.read_text().encode(encoding))
    ran = imported(file)
    assert (Exit.BAD_INPUT, True) == (ran.exit, "is not UTF-8" in ran.err)


@pytest.mark.usefixtures("orchestrator")
def test_other_content_under_a_key_that_was_sent_is_rejected(tmp_path: Path) -> None:
    file = written(tmp_path, ["pm_card_visa"] * 3)
    imported(file)
    file.write_text(file.read_text().replace("2,c2,BOOK,2", "2,c2,BOOK,3"))
    ran = imported(file, "--rejected", str(tmp_path / "left.csv"))
    assert Exit.BAD_INPUT is ran.exit
    (row,) = rejected(tmp_path, "left.csv")
    assert ("2", "REQUEST_ID_REUSED") == (row["key"], row["rejected_reason"])
    assert "give this one another key" in row["rejected_details"]


@pytest.mark.usefixtures("orchestrator")
def test_rejected_rows_of_an_earlier_run_do_not_outlive_it(tmp_path: Path) -> None:
    file = written(tmp_path, ["pm_card_visa"] * 3)
    stale = tmp_path / "spring.rejected.csv"
    stale.write_text("stale")
    assert Exit.DONE is imported(file).exit
    assert not stale.exists()


def test_json_lines_are_imported_and_rejected_as_they_stood(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    file = tmp_path / "spring.jsonl"
    order = {"key": "a", "customer_id": "c1", "payment_method": "pm_card_visa"}
    file.write_text(json.dumps(order) + "\nnonsense\n")
    assert Exit.BAD_INPUT is imported(file).exit
    assert ["spring/a"] == list(orchestrator.kept)
    (row,) = rejected(tmp_path)
    assert ("nonsense", "2") == (row["row"], row["rejected_line"])


def test_an_orchestrator_that_is_away_now_and_then_costs_no_row(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    orchestrator.every_nth_away = 3
    full = Fault(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="OVERLOADED", retry_after_seconds=0.05
    )
    orchestrator.fail("StartOrderProcess", *[full] * 10)
    ran = imported(written(tmp_path, ["pm_card_visa"] * 60), "--json", "--concurrency", "16")
    assert (Exit.DONE, 60, 60) == (ran.exit, ran.json["completed"], len(orchestrator.kept))


def test_an_import_outlives_the_orchestrator(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    file = written(tmp_path, ["pm_card_visa"] * 400)
    with start_oms("order", "import", str(file), "--json", "--concurrency", "8") as importing:
        orchestrator.wait_for_calls("StartOrderProcess", 100)
        orchestrator.stop()
        orchestrator.start()
        out, err = importing.communicate(timeout=60)
    assert 0 == importing.returncode, err
    assert 400 == json.loads(out)["completed"]
    assert {f"spring/{key}" for key in range(400)} == set(orchestrator.kept)


def test_an_import_that_is_killed_goes_on_where_it_was(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    file = written(tmp_path, ["pm_card_visa"] * 400)
    with start_oms("order", "import", str(file), "--concurrency", "4") as importing:
        orchestrator.wait_for_calls("StartOrderProcess", 50)
        importing.kill()
        importing.communicate(timeout=60)
    ran = imported(file, "--json")
    assert (Exit.DONE, 400, 400) == (ran.exit, ran.json["completed"], len(orchestrator.kept))


def test_an_import_that_is_interrupted_tells_how_far_it_came(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    methods = ["pm_card_visa"] * 8 + ["pm_waits"] * 8
    file = written(tmp_path, methods)
    with start_oms("order", "import", str(file), "--concurrency", "4") as importing:
        orchestrator.wait_for_calls("StartOrderProcess", 12)
        importing.send_signal(signal.SIGINT)
        out, err = importing.communicate(timeout=60)
    assert Exit.INTERRUPTED == importing.returncode
    assert "Interrupted.\nRun the same command again to go on where it stopped.\n" == err
    assert ["accepted", "8"] == out.split()[:2]


def test_processes_that_outlast_their_call_are_looked_after_until_they_rest(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    orchestrator.holds_seconds_max = 0
    file = written(tmp_path, ["pm_waits"] * 3)
    with start_oms("order", "import", str(file), "--json") as importing:
        orchestrator.wait_for_calls("GetOrderProcess", 3)
        orchestrator.stop()
        orchestrator.start()
        for key in range(3):
            orchestrator.settle(f"spring/{key}", ORDER_PROCESS_STATE_COMPLETED)
        out, err = importing.communicate(timeout=60)
    assert 0 == importing.returncode, err
    assert 3 == json.loads(out)["completed"]
    assert 3 == orchestrator.calls["StartOrderProcess"]


def test_processes_that_never_rest_are_still_going_when_patience_ends(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    orchestrator.holds_seconds_max = 0
    methods = ["pm_waits", "pm_card_visa", "pm_waits"]
    ran = imported(written(tmp_path, methods), "--json", "--patience", "0.3")
    assert Exit.STILL_GOING is ran.exit
    assert (3, 1, 2) == (ran.json["accepted"], ran.json["completed"], ran.json["still_going"])
    assert ran.json["stopped"] is None


def test_a_server_that_asks_for_a_day_does_not_get_it(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    full = Fault(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="OVERLOADED", retry_after_seconds=86_400
    )
    orchestrator.fail("StartOrderProcess", full, full)
    ran = imported(written(tmp_path, ["pm_card_visa"]), "--patience", "0.3")
    assert Exit.FAILED is ran.exit
    assert "nothing has moved for 300 ms. No (OVERLOADED)." in ran.err


@pytest.mark.usefixtures("orchestrator")
def test_what_is_parked_is_told(tmp_path: Path) -> None:
    ran = imported(written(tmp_path, ["pm_card_visa", "pm_parks"]))
    assert Exit.PARKED is ran.exit
    assert "oms admin parked" in ran.out


def test_patience_ends_where_nothing_moves(orchestrator: FakeOrchestrator, tmp_path: Path) -> None:
    orchestrator.stop()
    ran = imported(written(tmp_path, ["pm_card_visa"] * 3), "--patience", "0.5")
    assert Exit.FAILED is ran.exit
    assert "Gave up: nothing has moved for 500 ms. Nothing answers at" in ran.err


def test_an_error_that_never_passes_rejects_its_row_and_no_other(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    orchestrator.fail(
        "StartOrderProcess", *[Fault(code=grpc.StatusCode.INTERNAL, reason="INTERNAL")] * 8
    )
    ran = imported(written(tmp_path, ["pm_card_visa"] * 2), "--concurrency", "1")
    assert Exit.BAD_INPUT is ran.exit
    assert ["INTERNAL"] == [row["rejected_reason"] for row in rejected(tmp_path)]
    assert ["spring/1"] == list(orchestrator.kept)


def test_a_server_that_bars_the_door_ends_the_import(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    orchestrator.fail(
        "StartOrderProcess", *[Fault(code=grpc.StatusCode.PERMISSION_DENIED, message="no")] * 64
    )
    ran = imported(written(tmp_path, ["pm_card_visa"] * 200))
    assert Exit.FAILED is ran.exit
    assert "No (PERMISSION_DENIED)." in ran.err
    assert not orchestrator.kept


def test_a_call_that_breaks_off_after_it_was_stored_is_one_process(
    orchestrator: FakeOrchestrator, tmp_path: Path
) -> None:
    file = written(tmp_path, ["pm_card_visa"])
    imported(file)
    orchestrator.fail("StartOrderProcess", AWAY)
    ran = imported(file, "--json")
    assert (1, 1) == (ran.json["completed"], len(orchestrator.kept))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.csv",), "nowhere.csv: No such file or directory."),
        (("orders.txt",), "--format csv or jsonl"),
        (("orders.csv", "--rejected", "orders.csv"), "would overwrite the file"),
        (("orders.csv", "--name", ""), "needs a name"),
    ],
)
def test_what_cannot_be_imported_is_bad_input(arguments: tuple[str, ...], said: str) -> None:
    ran = oms("order", "import", *arguments)
    assert Exit.BAD_INPUT is ran.exit
    assert said in ran.err


@pytest.mark.usefixtures("orchestrator")
def test_a_file_without_a_proper_header_is_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("key,sku\n1,BOOK\n")
    ran = imported(file)
    assert Exit.BAD_INPUT is ran.exit
    assert "it lacks customer_id" in ran.err
