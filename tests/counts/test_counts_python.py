"""What the core does for an order process, in calls of functions; and what memory a process takes.

The last tests plant what the first would have to see.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import views
from orchestrator.order_process import ORDER_PROCESS
from orchestrator.saga import advance as advancing
from orchestrator.saga import evolve as evolving
from orchestrator.saga.advance import advance
from orchestrator.saga.code import Code
from orchestrator.saga.decide import Call
from orchestrator.saga.events import JSON, AttemptEnded, Event, Started
from orchestrator.saga.evolve import evolve, replay
from orchestrator.saga.state import Phase, SagaState
from orchestrator.saga_log import codec
from orchestrator.saga_log.codec import decode, encode
from orchestrator.saga_log.protocol import Append, ProcessRow
from orchestrator.saga_log.sql import SqlSagaLog
from tests.counts.bounds import check, over
from tests.counts.harness.measured import blocks_in_flight
from tests.counts.harness.python_calls import calls_of, of_this_python

pytestmark = of_this_python

T0 = 1_700_000_000_000_000
TOTAL: Mapping[str, JSON] = {"currency_code": "USD", "minor_units": 2_500}
ROW = ProcessRow(
    process_id="prc_01hf7yat00e2mv07tx1gr0qjc1",
    business_key="r1",
    fingerprint="f1",
    subject="ada",
    phase=Phase.COMPLETED,
    revision=12,
    epoch=1,
    owner=None,
    due_time_us=None,
    create_time_us=T0,
    update_time_us=T0,
    end_time_us=T0,
)


class Delivered:
    """An order process that is delivered, decision by decision."""

    def __init__(self) -> None:
        started = Started(
            definition=ORDER_PROCESS.name,
            version=ORDER_PROCESS.version,
            input={"total": TOTAL},
            deadline_us=T0 + 60_000_000,
            time_us=T0,
        )
        self.decisions: list[tuple[SagaState, Sequence[Event]]] = []
        self.events: list[Event] = [started]
        state = evolve(None, started)
        happened: tuple[Event, ...] = ()
        while True:
            self.decisions.append((state, happened))
            ahead = advance(ORDER_PROCESS, state, T0, happened=happened)
            self.events += ahead.events
            if not isinstance(call := ahead.command, Call):
                break
            self.events.append(call.event(T0))
            state = evolve(ahead.state, self.events[-1])
            ended = AttemptEnded(action=call.action, attempt=1, code=Code.OK, time_us=T0)
            if call.action == "create_order":
                ended = replace(ended, result={"total": TOTAL})
            happened = (ended,)
        self.state = ahead.state

    def fold(self) -> None:
        assert self.state == replay(self.events)

    def decide(self) -> None:
        for state, happened in self.decisions:
            advance(ORDER_PROCESS, state, T0, happened=happened)

    def encode(self) -> None:
        for event in self.events:
            encode(event)

    def decode(self) -> None:
        for text in map(encode, self.events):
            decode(*text)

    def show(self) -> None:
        views.process_message(ROW, self.state)


LIFE = Delivered()
PURE: Mapping[str, Callable[[], None]] = {
    "to fold a delivered history": LIFE.fold,
    "to decide its six commits": LIFE.decide,
    "to encode its events": LIFE.encode,
    "to encode and decode them": LIFE.decode,
    "to show it": LIFE.show,
}


def test_what_is_counted_is_a_delivered_order() -> None:
    assert (6, 12, Phase.COMPLETED) == (len(LIFE.decisions), len(LIFE.events), LIFE.state.phase)


@pytest.mark.parametrize("what", PURE)
def test_the_core_does_little(what: str) -> None:
    calls = calls_of(PURE[what])
    check(f"function calls: {what}", calls.total, calls.most())


def test_a_process_in_flight_takes_little_memory(tmp_path: Path) -> None:
    blocks = blocks_in_flight(f"sqlite:///{tmp_path}/log.db", tmp_path)
    check("blocks of memory for a process in flight", blocks)


def twice(work: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given: (work(*given), work(*given))[1]


PLANTED: Mapping[str, tuple[Any, str, Any]] = {
    "to fold a delivered history": (evolving, "_with", twice(evolving._with)),
    "to decide its six commits": (advancing, "evolve", twice(evolve)),
    "to encode its events": (codec, "_began", codec._began.__wrapped__),
    "to encode and decode them": (codec, "_event_of", twice(codec._event_of)),
    "to show it": (views, "_set_step", twice(views._set_step)),
}


@pytest.mark.parametrize("what", PLANTED)
def test_work_that_is_done_for_nothing_is_seen(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*PLANTED[what])
    assert over(f"function calls: {what}", calls_of(PURE[what]).total)


class Hoarding(SqlSagaLog):
    """Keeps what it was given."""

    kept: list[Append]

    async def append(self, append: Append) -> int:
        vars(self).setdefault("kept", []).append(append)
        return await super().append(append)


def test_memory_that_is_kept_for_nothing_is_seen(tmp_path: Path) -> None:
    blocks = blocks_in_flight(f"sqlite:///{tmp_path}/log.db", tmp_path, log_type=Hoarding)
    assert over("blocks of memory for a process in flight", blocks)
