"""Log lines for a person."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.log_line import compact, whole


def test_a_log_line_is_its_time_its_event_and_what_else_it_says() -> None:
    record = {
        "timestamp": "2026-11-23T06:13:11.313456Z",
        "level": "info",
        "event": "serving",
        "service": "order_svc",
        "port": 50052,
        "address": "127.0.0.1:50052",
    }
    assert "06:13:11.313  serving  port=50052  address=127.0.0.1:50052" == str(
        compact(json.dumps(record))
    )


def test_a_level_that_matters_is_shown() -> None:
    record = {"timestamp": "2026-11-23T06:13:11.313456Z", "level": "error", "event": "oh"}
    assert "06:13:11.313  error    oh" == str(compact(json.dumps(record)))


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "7", "[1]", "{", ""])
def test_what_is_no_record_comes_out_as_it_went_in(line: str) -> None:
    assert line == str(compact(line))


@given(line=st.one_of(st.text(), st.dictionaries(st.text(), st.text()).map(json.dumps)))
def test_no_line_whatever_breaks_it_or_commands_the_terminal(line: str) -> None:
    for shown in (compact(line), whole(line)):
        assert "\x1b" not in shown.plain
        assert "\n" not in shown.plain
