"""The judges share nothing with what they judge, and each of their rules can be broken."""

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.simulator import invariants
from bench.simulator.evidence import Called, Evidence, RawEvent, Told, Write
from bench.simulator.invariants import check_saga
from bench.simulator.loop import new_loop
from bench.simulator.orders import rules
from bench.simulator.orders.rules import check_orders
from bench.simulator.orders.world import order_world
from bench.simulator.plan import Plan
from bench.simulator.run import End, gather, shape_of
from bench.simulator.schedule import Planned
from bench.simulator.stage import Stage

P = "prc_0001"


def evidence_of(text: str) -> Evidence:
    world, plan = order_world(), Plan.parse(text)
    loop = new_loop()
    stage = Stage(world, world.scenarios[plan.scenario], Planned(plan), loop)
    stage.start_first()
    stage.desk.place(1, stage.scenario)
    assert loop.run(idle=End(stage).idle, until_seconds=1_000.0)
    evidence = gather(stage, shape_of(world), ())
    # Plain data, so that it can be tampered with.
    return replace(evidence, records=json.loads(json.dumps(evidence.records)))


@pytest.mark.parametrize("module", [invariants, rules])
def test_a_judge_imports_nothing_of_the_product(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    names = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    ours = {name for name in names if name.split(".")[0] in {"bench", "orchestrator", "chassis"}}
    assert ours == {"bench.simulator.evidence"}
    assert not {name for name in names if name.endswith("_svc")}


def rules_broken(evidence: Evidence) -> set[str]:
    return {it.rule for it in (*check_saga(evidence), *check_orders(evidence))}


def test_what_went_well_breaks_no_rule() -> None:
    for text in ("delivered", "declined", "not-taken", "undeliverable", "parked-resolved"):
        assert set() == rules_broken(evidence_of(text))


def history(change: Callable[[list[RawEvent]], Any]) -> Callable[[Evidence], Evidence]:
    def changed(evidence: Evidence) -> Evidence:
        events = list(evidence.histories[P])
        change(events)
        row = evidence.rows[P]._replace(revision=len(events))
        return replace(evidence, histories={P: events}, rows={P: row})

    return changed


def row(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda it: replace(it, rows={P: it.rows[P]._replace(**changes)})


def record(kind: str, key: str, name: str, value: Any) -> Callable[[Evidence], Evidence]:
    def changed(evidence: Evidence) -> Evidence:
        evidence.records[kind][key][name] = value
        return evidence

    return changed


def ledger(change: Callable[[list[Any]], Any]) -> Callable[[Evidence], Evidence]:
    def changed(evidence: Evidence) -> Evidence:
        change(evidence.records["ledger"])
        return evidence

    return changed


@pytest.mark.parametrize(
    ("rule", "scenario", "tamper"),
    [
        ("every process ends", "delivered", row(phase="RUNNING", due_time_us=1)),
        ("what goes on is due", "delivered", row(phase="RUNNING")),
        ("what is at rest is not due", "delivered", row(due_time_us=1)),
        ("the row counts its history", "delivered", row(revision=3)),
        ("the row says what the history says", "delivered", row(phase="CANCELLED")),
        ("steps are done in order", "delivered", history(lambda it: it.pop(2))),
        ("attempts are counted", "delivered", history(lambda it: it.insert(3, it[3]))),
        ("a process starts once", "delivered", history(lambda it: it.insert(3, it[0]))),
        ("what is over is over", "delivered", history(lambda it: it.append(it[1]))),
        ("an attempt ends once, while under way", "delivered", history(lambda it: it.pop(1))),
        ("COMPLETED means that every step was done", "delivered", history(lambda it: it.pop(-2))),
        (
            "CANCELLED means that everything was undone",
            "undeliverable",
            history(lambda it: it.__delitem__(slice(-3, -1))),
        ),
        ("undos run newest first", "undeliverable", history(lambda it: it.__delitem__(-4))),
        (
            "nothing goes forward once it is to be undone",
            "delivered",
            history(lambda it: it.insert(2, RawEvent("cancel_requested", it[1].time_us, "{}"))),
        ),
        (
            "intent before effect",
            "delivered",
            lambda it: replace(it, calls=[*it.calls, Called(P, "create_order", 9, False)]),
        ),
        (
            "whoever was succeeded writes no more",
            "delivered",
            lambda it: replace(
                it, writes=[*it.writes, Write(P, "node-2", True), Write(P, "node-1", False)]
            ),
        ),
        (
            "what was told stays true",
            "undeliverable",
            lambda it: replace(it, told=[*it.told, Told(P, "COMPLETED", 4)]),
        ),
        (
            "what was told stays true",
            "delivered",
            lambda it: replace(it, told=[*it.told, Told(P, "cancel", 4)]),
        ),
        (
            "what was told stays true",
            "delivered",
            lambda it: replace(it, requests={"request-1": "prc_gone"}),
        ),
        (
            "COMPLETED is confirmed, paid once and assigned",
            "delivered",
            record("deliveries", "dlv_0001", "state", "CANCELLED"),
        ),
        (
            "COMPLETED is confirmed, paid once and assigned",
            "delivered",
            record("payments", "pay_0001", "amount", 1),
        ),
        (
            "COMPLETED is confirmed, paid once and assigned",
            "delivered",
            ledger(lambda it: it.pop()),
        ),
        (
            "CANCELLED leaves nothing behind",
            "undeliverable",
            record("orders", "ord_0001", "state", "PENDING"),
        ),
        ("CANCELLED leaves nothing behind", "undeliverable", ledger(lambda it: it.pop())),
        ("money moves once", "delivered", ledger(lambda it: it.append(it[-1]))),
        ("no effect after its undo", "undeliverable", ledger(lambda it: it.append(it[0]))),
        (
            "no effect after its undo",
            "undeliverable",
            lambda it: (it.records["journal"].append(["ord_0001", "PENDING"]), it)[1],
        ),
        (
            "at most one effect per process",
            "delivered",
            ledger(lambda it: it.append({**it[0], "payment": "pay_other"})),
        ),
        (
            "a courier has what is assigned",
            "delivered",
            lambda it: (it.records["couriers"].update({"courier-NL": 2}), it)[1],
        ),
        (
            "nothing is asked before that is stored",
            "delivered",
            lambda it: (it.records["complaints"].append("HOLD"), it)[1],
        ),
        ("nothing is out of order", "delivered", lambda it: replace(it, complaints=["broken"])),
    ],
)
def test_a_rule_is_broken_by_what_it_forbids(
    rule: str, scenario: str, tamper: Callable[[Evidence], Evidence]
) -> None:
    assert rule in rules_broken(tamper(evidence_of(scenario)))
