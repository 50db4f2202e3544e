"""What a run shows and keeps."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bench.speed import plot
from bench.speed.checklist import checklist, checklist_table
from bench.speed.contenders import CONTENDERS, NoSuchContender, chosen
from bench.speed.figures import Slice
from bench.speed.many import Many
from bench.speed.outage import Outage, counted
from bench.speed.overload import Overload
from bench.speed.participants_alone import RpcSlice
from bench.speed.results import Results


def one(contender: str, in_flight: int, number: int, *, rate: float, cpu: float) -> Slice:
    return Slice(
        contender=contender,
        in_flight=in_flight,
        round=number,
        processes=round(10 * rate),
        seconds=10.0,
        p50_ms=1_000 * in_flight / rate,
        p99_ms=2_000 * in_flight / rate,
        cpu_ms={"orchestrator": cpu, "participants": 4.0, "database": 0.5},
        memory_mib=61.0,
        generator_busy=0.2,
    )


def rpc(server: str, cpu: float) -> RpcSlice:
    return RpcSlice(
        work="create_order",
        server=server,
        round=1,
        per_second=1_000.0,
        cpu_ms=cpu,
        p50_ms=1.0,
        p99_ms=2.0,
        failures={},
    )


# 64 in flight: 1.4 times bare's CPU, 0.8 of its rate; 4,096 in flight: nine tenths of the rate.
SLICES = (
    one("bare", 64, 1, rate=500, cpu=1.0),
    one("ours-sqlite", 64, 1, rate=400, cpu=1.4),
    one("ours-sqlite", 4_096, 1, rate=360, cpu=1.5),
)
RPCS = (rpc("no-op", 0.2), rpc("no-op in our server", 0.22), rpc("durable", 0.31))


def results(slices: tuple[Slice, ...], rpcs: tuple[RpcSlice, ...] = ()) -> Results:
    return Results(machine={"processors": "2"}, options={}, notes=(), slices=slices, rpcs=rpcs)


def verdicts(slices: tuple[Slice, ...], rpcs: tuple[RpcSlice, ...]) -> dict[str, str]:
    return {it.what: it.verdict for it in checklist(results(slices, rpcs))}


def test_a_line_passes_or_misses_by_its_median() -> None:
    found = verdicts(SLICES, RPCS)
    cpu = "64 in flight, SQLite: orchestrator CPU per process, against bare"
    # The target is 1.5, the aim 1.25.
    assert "pass, short of its aim" == found[cpu]
    close = (one("bare", 64, 1, rate=500, cpu=1.0), one("ours-sqlite", 64, 1, rate=400, cpu=1.2))
    assert "pass" == verdicts(close, ())[cpu]
    assert "miss" == found["64 in flight, SQLite: processes/s, against bare"]
    assert "pass" == found["from 64 to 4,096 in flight, SQLite: processes/s kept"]
    assert "miss" == found["64 in flight: CPU of a durable CreateOrder, against a no-op"]


def test_what_was_not_measured_never_passes() -> None:
    assert {"not measured"} == set(verdicts((), ()).values())


def test_each_line_of_the_checklist_is_shown_with_what_was_measured() -> None:
    lines = checklist(results(SLICES, RPCS))
    shown = list(checklist_table(lines))[2:]
    assert len(lines) == len(shown)
    measured = ["<=", "1.5x", "1.25x", "1.40", "(1.40..1.40)"]
    assert [*measured, "pass,", "short", "of", "its", "aim"] == shown[0].split()[-10:]


def test_the_table_has_a_line_for_each_contender_under_each_load() -> None:
    lines = [it for it in results(SLICES).text() if "sqlite" in it or "bare " in it]
    assert ["64", "64", "4,096"] == [it.split()[0] for it in lines if it.split()[0][0].isdigit()]
    ours = next(it for it in lines if it.split()[:2] == ["64", "ours-sqlite"])
    assert ["1.40", "(1.40..1.40)", "0.80", "(0.80..0.80)"] == ours.split()[9:13]


def test_a_failure_is_in_the_text_and_in_the_json() -> None:
    failed = replace(one("bare", 1, 1, rate=10, cpu=1.0), failures={"PARKED": 3})
    run = replace(results((failed,)), notes=("dbos is not here",))
    text = "\n".join(run.text())
    assert "3 x bare, 1 in flight: PARKED" in text
    assert "NOTE: dbos is not here" in text
    assert {"bare, 1 in flight: PARKED": 3} == json.loads(run.json())["failures"]


MANY = Many(
    processes=100,
    accept_seconds=1.0,
    memory_kib_idle=10_000,
    memory_kib_full=14_000,
    gone_on_seconds=1.5,
    settled_seconds=30.0,
    completed=101,
    audit="",
)
OVERLOAD = Overload(
    round=1,
    peak_per_second=100.0,
    offered_per_second=200.0,
    good_per_second=80.0,
    shed_per_second=120.0,
    other={},
    p50_ms=1.0,
    p99_ms=2.0,
    shed_p99_ms=3.0,
    settled_seconds=1.0,
    audit="",
)
OUTAGE = Outage(
    away_seconds=30.0,
    offered_per_second=50.0,
    processes=1_000,
    failed={},
    good_by_second=(50, 0, 100),
    arrivals_by_second=(10, 20, 40, 39, 5, 20),
    arrivals_by_quarter=(2, 2, 3, 3),
    settled_seconds=1.0,
    audit="",
)


def test_stress_passes_where_all_was_completed_and_the_audit_is_clean() -> None:
    run = replace(results(()), many=MANY, overloads=(OVERLOAD,), outage=OUTAGE)
    found = {it.what: it.verdict for it in checklist(run) if it.verdict != "not measured"}
    assert ["pass", "pass", "pass", "miss", "pass", "pass", "pass"] == list(found.values())
    assert {} == run.failures


def test_one_that_was_lost_or_found_by_the_audit_is_a_failure_of_the_run() -> None:
    run = replace(
        results(()),
        many=replace(MANY, completed=100),
        overloads=(replace(OVERLOAD, audit="an orphan"),),
        outage=replace(OUTAGE, failed={"ORDER_PROCESS_STATE_CANCELLED": 2}),
    )
    assert {
        "many: not COMPLETED": 1,
        "overload, round 1: oms audit: an orphan": 1,
        "outage: ORDER_PROCESS_STATE_CANCELLED": 2,
    } == run.failures


def test_what_never_went_on_misses() -> None:
    run = replace(results(()), many=replace(MANY, gone_on_seconds=None))
    assert "miss" in {it.verdict for it in checklist(run)}


def test_arrivals_are_counted_from_the_first() -> None:
    times = [100.0, 100.1, 100.9, 101.0, 102.5, 200.0]
    assert (3, 1, 1, 0) == counted(times, seconds=1.0, shown=4)
    assert (2, 0, 0, 1, 1) == counted(times, seconds=0.25, shown=5)


def test_a_ramp_begins_low_and_is_nowhere_steep_on_its_way_up() -> None:
    assert (0.25, 2.0) == (OUTAGE.first_second_of_most, OUTAGE.steepest)


@pytest.mark.parametrize("herd", [(400, 300, 200), (10, 400, 20), (10, 0, 20)])
def test_a_herd_is_a_miss(herd: tuple[int, ...]) -> None:
    run = replace(results(()), outage=replace(OUTAGE, arrivals_by_second=herd))
    assert "miss" in {it.verdict for it in checklist(run)}


def test_the_picture_has_a_line_for_each_contender_and_percentile() -> None:
    drawn = plot.panels(SLICES)
    tree = ElementTree.fromstring(plot.svg(drawn))  # noqa: S314 - what we have just written
    lines = tree.findall(".//{http://www.w3.org/2000/svg}polyline")
    # Of two contenders the rate, p50 and p99.
    assert 6 == len(lines)


def test_the_picture_is_the_same_in_another_environment() -> None:
    drawn = plot.panels(SLICES)
    assert plot.svg(drawn) == plot.svg(plot.read(plot.written(drawn)))


def test_contenders_are_chosen_by_name_and_an_unknown_one_is_told() -> None:
    assert tuple(CONTENDERS.values()) == chosen([])
    assert ["bare", "dbos-sqlite"] == [it.name for it in chosen(["dbos-sqlite", "bare"])]
    with pytest.raises(NoSuchContender, match="temporal; there are bare, ours-sqlite"):
        chosen(["temporal"])
