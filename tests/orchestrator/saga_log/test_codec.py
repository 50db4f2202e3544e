"""Events as the log keeps them. What was written once is read for ever."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.json_text import Written
from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CancelRequested,
    CompensationBegan,
    Completed,
    Event,
    Parked,
    ResolvedByHand,
    RetryRequested,
    Started,
)
from orchestrator.saga.state import Phase
from orchestrator.saga_log.codec import (
    KINDS,
    Undecodable,
    decode,
    decode_all,
    dumps,
    encode,
    in_one,
    stored_process,
)
from orchestrator.saga_log.protocol import ProcessRow

# What release 1 wrote. Lines are added here, and never changed.
WRITTEN: list[tuple[str, str, Event]] = [
    (
        "started",
        '{"definition":"d","version":1,"input":{"items":[{"sku":"BOOK"}]},"deadline_us":60}',
        Started(
            definition="d",
            version=1,
            input={"items": [{"sku": "BOOK"}]},
            deadline_us=60,
            time_us=7,
        ),
    ),
    (
        "attempt_began",
        '{"action":"a","attempt":2}',
        AttemptBegan(action="a", attempt=2, time_us=7),
    ),
    (
        "attempt_ended",
        '{"action":"a","attempt":1,"code":"OK"}',
        AttemptEnded(action="a", attempt=1, code=Code.OK, time_us=7),
    ),
    (
        "attempt_ended",
        '{"action":"a","attempt":1,"code":"OK","result":{"id":"x"}}',
        AttemptEnded(action="a", attempt=1, code=Code.OK, result={"id": "x"}, time_us=7),
    ),
    (
        "attempt_ended",
        '{"action":"a","attempt":3,"code":"UNAVAILABLE","reason":"R","message":"m","not_before_us":9}',
        AttemptEnded(
            action="a",
            attempt=3,
            code=Code.UNAVAILABLE,
            reason="R",
            message="m",
            not_before_us=9,
            time_us=7,
        ),
    ),
    (
        "cancel_requested",
        '{"reason":"r","requested_by":"Ada"}',
        CancelRequested(reason="r", requested_by="Ada", time_us=7),
    ),
    ("cancel_requested", "{}", CancelRequested(reason="", requested_by="", time_us=7)),
    (
        "compensation_began",
        '{"step":"a","code":"NOT_FOUND","reason":"R","message":"m"}',
        CompensationBegan(step="a", code_name="NOT_FOUND", reason="R", message="m", time_us=7),
    ),
    (
        "parked",
        '{"action":"u","code":"NOT_FOUND","reason":"R","message":"m"}',
        Parked(action="u", code_name="NOT_FOUND", reason="R", message="m", time_us=7),
    ),
    (
        "parked",
        '{"reason":"UNKNOWN_DEFINITION","message":"m"}',
        Parked(action="", code_name="", reason="UNKNOWN_DEFINITION", message="m", time_us=7),
    ),
    (
        "retry_requested",
        '{"reason":"r","requested_by":"Ada"}',
        RetryRequested(reason="r", requested_by="Ada", time_us=7),
    ),
    (
        "resolved_by_hand",
        '{"action":"u","reason":"r","requested_by":"Ada"}',
        ResolvedByHand(action="u", reason="r", requested_by="Ada", time_us=7),
    ),
    ("completed", "{}", Completed(time_us=7)),
    ("cancelled", "{}", Cancelled(time_us=7)),
]


@pytest.mark.parametrize(("kind", "body", "event"), WRITTEN)
def test_what_was_written_is_read_and_written_the_same(kind: str, body: str, event: Event) -> None:
    assert event == decode(kind, 7, body)
    assert (kind, 7, body) == encode(event)


def test_every_kind_was_written() -> None:
    assert set(KINDS.values()) == {kind for kind, _, _ in WRITTEN}
    assert len(KINDS) == len(set(KINDS.values()))


def test_a_name_that_is_not_known_is_ignored() -> None:
    assert AttemptBegan(action="a", attempt=1, time_us=7) == decode(
        "attempt_began", 7, '{"action":"a","attempt":1,"weather":"fair"}'
    )


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("begun_in_a_later_release", "{}"),
        ("completed", ""),
        ("completed", "{"),
        ("completed", "[]"),
        ("completed", "null"),
        ("attempt_began", '{"attempt":1}'),
        ("attempt_began", '{"action":"","attempt":1}'),
        ("attempt_began", '{"action":7,"attempt":1}'),
        ("attempt_began", '{"action":"a"}'),
        ("attempt_began", '{"action":"a","attempt":"1"}'),
        ("attempt_began", '{"action":"a","attempt":true}'),
        ("attempt_began", '{"action":"a","attempt":1.5}'),
        ("attempt_ended", '{"action":"a","attempt":1}'),
        ("attempt_ended", '{"action":"a","attempt":1,"code":"FINE"}'),
        ("attempt_ended", '{"action":"a","attempt":1,"code":0}'),
        ("attempt_ended", '{"action":"a","attempt":1,"code":"OK","not_before_us":"soon"}'),
        ("started", '{"definition":"d","version":1,"input":[],"deadline_us":1}'),
        ("started", '{"definition":"d","version":1,"deadline_us":1}'),
    ],
)
def test_what_cannot_be_read_is_undecodable_and_says_why(kind: str, body: str) -> None:
    with pytest.raises(Undecodable, match=kind):
        decode(kind, 7, body)


# As WRITTEN: lines are added, and never changed.
WRITTEN_IN_ONE: list[tuple[str, tuple[Event, ...]]] = [
    (
        (
            '[["attempt_ended",0,{"action":"a","attempt":1,"code":"OK"}],'
            '["attempt_began",5,{"action":"b","attempt":1}]]'
        ),
        (
            AttemptEnded(action="a", attempt=1, code=Code.OK, time_us=7),
            AttemptBegan(action="b", attempt=1, time_us=12),
        ),
    ),
    (
        (
            '[["attempt_ended",0,{"action":"a","attempt":2,"code":"OK","result":{"id":"x"}}],'
            '["completed",-1,{}]]'
        ),
        (
            AttemptEnded(action="a", attempt=2, code=Code.OK, result={"id": "x"}, time_us=7),
            Completed(time_us=6),
        ),
    ),
]


@pytest.mark.parametrize(("body", "events"), WRITTEN_IN_ONE)
def test_what_was_written_in_one_is_read_and_written_the_same(
    body: str, events: tuple[Event, ...]
) -> None:
    first, second = map(encode, events)

    assert events == decode_all("together", 7, body)
    assert ("together", 7, body) == in_one(first, second)


@pytest.mark.parametrize(("kind", "body", "event"), WRITTEN)
def test_what_was_written_apart_is_read_as_one(kind: str, body: str, event: Event) -> None:
    assert (event,) == decode_all(kind, 7, body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "together"),
        ("{}", "together"),
        ("[7]", "together"),
        ('[["completed",0]]', "together"),
        ('[["completed","0",{}]]', "together"),
        ('[["completed",0,[]]]', "together"),
        ("[[7,0,{}]]", "together"),
        ('[["completed",0,{}],["mystery",0,{}]]', "mystery"),
        ('[["attempt_began",0,{"attempt":1}]]', "attempt_began"),
        ('[["together",0,{}]]', "together"),
    ],
)
def test_what_cannot_be_read_in_one_is_undecodable_and_says_why(body: str, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        decode_all("together", 7, body)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    content=st.dictionaries(st.text(), JSON_VALUES),
    result=JSON_VALUES,
    text=st.text(),
    number=st.integers(),
)
def test_whatever_an_event_says_it_comes_back(
    content: dict[str, None], result: None, text: str, number: int
) -> None:
    written = Written(content, json.dumps(content, sort_keys=True))
    events: list[Event] = [
        Started(definition="d", version=1, input=content, deadline_us=number, time_us=7),
        Started(definition=text or "d", version=1, input=written, deadline_us=number, time_us=7),
        AttemptEnded(
            action="a",
            attempt=1,
            code=Code.OK,
            reason=text,
            message=text,
            result=result,
            not_before_us=number,
            time_us=7,
        ),
        CancelRequested(reason=text, requested_by=text, time_us=7),
    ]
    for event in events:
        kind, time_us, body = encode(event)
        assert body.isascii()
        assert event == decode(kind, time_us, body)


def test_an_input_whose_text_is_known_is_not_put_into_words_again() -> None:
    written = Written({"a": 1}, '{"a": 1}')
    started = Started(definition="d", version=1, input=written, deadline_us=2, time_us=7)
    assert '{"definition":"d","version":1,"input":{"a": 1},"deadline_us":2}' == encode(started)[2]


def test_what_json_cannot_say_is_not_written() -> None:
    for value in (object(), {1, 2}, float("nan"), float("inf")):
        with pytest.raises((TypeError, ValueError)):
            dumps(value)


ROW = ProcessRow(
    process_id="prc_1",
    business_key="k",
    fingerprint="f",
    subject="s",
    phase=Phase.RUNNING,
    revision=1,
    epoch=1,
    owner=None,
    due_time_us=7,
    create_time_us=7,
    update_time_us=7,
    end_time_us=None,
)


def test_a_history_is_read_whole_or_said_to_be_unreadable() -> None:
    whole = stored_process(ROW, [(kind, 7, body) for kind, body, _ in WRITTEN])
    assert tuple(event for _, _, event in WRITTEN) == whole.events
    assert "" == whole.unreadable
    damaged = stored_process(ROW, [("completed", 7, "{}"), ("mystery", 7, "{}")])
    assert () == damaged.events
    assert "mystery" in damaged.unreadable
