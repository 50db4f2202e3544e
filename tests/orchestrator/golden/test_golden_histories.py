"""What any release has stored is read for ever, and means what it meant then.

When the version grows, its histories are recorded beside the former ones:
`python -m tests.orchestrator.golden.record`.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from oms.orchestrator.v1.order_process_pb2 import OrderProcessState
from orchestrator.order_process import ORDER_PROCESSES
from orchestrator.placed_order import PlacedOrder
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import AttemptEnded, Event, Started
from orchestrator.saga.evolve import IllegalMove, replay
from orchestrator.saga.replay_check import divergence
from orchestrator.saga.state import Phase
from orchestrator.saga_log.codec import KINDS, Undecodable, decode, encode
from orchestrator.saga_log.protocol import StoredProcess
from orchestrator.views import event_message, stored_message
from tests.orchestrator.golden.golden import (
    FOLDER,
    ROOT,
    Golden,
    current_release,
    goldens,
    missing,
    plain,
    released,
)
from tests.orchestrator.golden.lives import LIVES
from tests.orchestrator.golden.record import record
from tests.orchestrator.golden.recovering import LoadedLog, recover
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.virtual_time import play

ALL = [golden for release in released() for golden in goldens(release)]
CURRENT = [golden for golden in ALL if golden.release == current_release()]
# An event's field that has said nothing says one of these.
SAYS_NOTHING: tuple[Any, ...] = ("", None, {}, ())

TROUBLE = {"process_unreadable", "process_failed", "recovery_failed", "task_failed"}

every_golden = pytest.mark.parametrize("golden", ALL, ids=str)


def definition_of(golden: Golden) -> Definition:
    """The definition that it began on, as patient as it was then."""
    known = ORDER_PROCESSES.by_key[golden.definition]
    horizon_seconds = golden.compensation_horizon_seconds
    return replace(
        known, policy=replace(known.policy, compensation_horizon_seconds=horizon_seconds)
    )


def test_the_golden_histories_grow_with_each_version() -> None:
    assert current_release() in released(), "run python -m tests.orchestrator.golden.record"


@pytest.mark.parametrize("release", released())
def test_a_version_that_there_are_histories_of_is_in_the_changelog_or_the_next_one(
    release: str,
) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert release == current_release() or f"## {release}" in changelog


def test_every_kind_of_life_of_this_version_is_recorded() -> None:
    assert sorted(LIVES) == sorted(golden.life for golden in CURRENT)


@every_golden
def test_it_comes_to_what_it_came_to_then(golden: Golden) -> None:
    state = replay(golden.events)

    assert [] == missing(golden.state, plain(state))
    assert (golden.row["phase"], golden.row["revision"]) == (state.phase, len(golden.texts))


@every_golden
def test_the_decisions_are_those_of_then(golden: Golden) -> None:
    assert "" == divergence(definition_of(golden), golden.events)


@pytest.mark.parametrize("golden", CURRENT, ids=str)
def test_this_version_writes_what_it_reads_byte_by_byte(golden: Golden) -> None:
    assert list(golden.texts) == [encode(event) for event in golden.events]


@every_golden
def test_what_is_read_and_written_again_says_the_same(golden: Golden) -> None:
    for event in golden.events:
        assert event == decode(*encode(event))


@every_golden
def test_a_request_that_is_sent_again_is_still_known_for_the_same(golden: Golden) -> None:
    started = golden.events[0]
    assert isinstance(started, Started)

    assert golden.row["fingerprint"] == PlacedOrder.of(started.input).fingerprint()


@every_golden
def test_it_is_shown_to_callers_at_each_of_its_revisions(golden: Golden) -> None:
    for revision, event in enumerate(golden.events, start=1):
        stored = StoredProcess(row=golden.process_row, events=golden.events[:revision])
        assert revision == stored_message(stored).revision
        assert revision == event_message(revision, event).revision

    shown = stored_message(stored)
    assert f"ORDER_PROCESS_STATE_{golden.row['phase']}" == OrderProcessState.Name(shown.state)
    assert [it["name"] for it in golden.state["actions"]] == [step.name for step in shown.steps]


@every_golden
def test_wherever_it_stops_it_is_taken_up_and_brought_to_its_end(golden: Golden) -> None:
    log = LoadedLog()
    cut = {log.add(golden, length=length): length for length in range(1, len(golden.texts) + 1)}
    was_at_rest = {it for it in cut if it not in log.unsettled}
    definition = definition_of(golden)

    with captured_lines() as lines:
        play(recover(log, ORDER_PROCESSES.patient(definition.policy)))

    assert not TROUBLE & set(lines.events("error", "critical"))
    for process_id, length in cut.items():
        texts = log.texts(process_id)
        assert list(golden.texts[:length]) == texts[:length]
        if process_id in was_at_rest:
            assert length == len(texts)
            continue
        events = [decode(*text) for text in texts]
        assert replay(events).phase.at_rest
        assert "" == divergence(definition, events)


# That nothing is left out.


def fields_said(events: list[Event]) -> set[str]:
    return {
        f"{type(event).__name__}.{field.name}"
        for event in events
        for field in dataclasses.fields(event)
        if getattr(event, field.name) not in SAYS_NOTHING
    }


def test_every_field_of_every_kind_of_event_is_said_somewhere() -> None:
    kinds = get_args(Event)
    assert set(kinds) == set(KINDS)
    assert {
        f"{kind.__name__}.{field.name}" for kind in kinds for field in dataclasses.fields(kind)
    } == fields_said([event for golden in CURRENT for event in golden.events])


def test_every_status_code_and_every_phase_is_there() -> None:
    events = [event for golden in CURRENT for event in golden.events]

    assert set(Code) == {event.code for event in events if isinstance(event, AttemptEnded)}
    assert {"COMPLETED", "CANCELLED", "PARKED"} == {golden.row["phase"] for golden in CURRENT}
    assert set(Phase) == {
        replay(golden.events[:length]).phase
        for golden in CURRENT
        for length in range(1, len(golden.texts) + 1)
    }


# The recorder.


def test_the_same_code_records_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        record("1.2.3", folder)

    files = sorted(it.name for it in (one / "1.2.3").iterdir())
    assert 2 * len(LIVES) == len(files)
    for name in files:
        assert (one / "1.2.3" / name).read_bytes() == (other / "1.2.3" / name).read_bytes()
    assert [golden.texts for golden in goldens("1.2.3", one)] == [
        golden.texts for golden in goldens("1.2.3", other)
    ]


def test_what_was_released_is_not_recorded_again(tmp_path: Path) -> None:
    (tmp_path / "1.2.3").mkdir()

    with pytest.raises(FileExistsError):
        record("1.2.3", tmp_path)

    assert [] == list((tmp_path / "1.2.3").iterdir())
    assert "1.2.3" not in released(FOLDER)


# By removal: what would break the reading of old histories, planted.


Read = Callable[[str, int, str], Event]


def under_another_name(name: str) -> Read:
    """As if something in a body had been renamed, or forgotten."""

    def read(kind: str, time_us: int, body: str) -> Event:
        said = json.loads(body)
        said.pop(name, None)
        return decode(kind, time_us, json.dumps(said))

    return read


def kinds_changed(**kinds: str) -> Read:
    return lambda kind, time_us, body: decode(kinds.get(kind, kind), time_us, body)


def complaint(golden: Golden, read: Read) -> str:
    """What is wrong with a history, as that reads it."""
    try:
        state = replay(read(*text) for text in golden.texts)
    except (Undecodable, IllegalMove) as error:
        return str(error)
    return "; ".join(missing(golden.state, plain(state)))


BUGS: Mapping[str, Read] = {
    **{
        f"{name} is forgotten": under_another_name(name)
        for name in sorted(
            {name for golden in ALL for *_, body in golden.texts for name in json.loads(body)}
        )
    },
    "a kind is renamed": kinds_changed(resolved_by_hand="resolved"),
    "a kind means another one": kinds_changed(completed="cancelled"),
}


def test_the_codec_itself_is_above_suspicion() -> None:
    assert {""} == {complaint(golden, decode) for golden in ALL}


@pytest.mark.parametrize("bug", BUGS)
def test_a_codec_that_no_longer_reads_what_was_written_is_found_out(bug: str) -> None:
    assert {""} != {complaint(golden, BUGS[bug]) for golden in ALL}
