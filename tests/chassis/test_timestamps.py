"""Times go over the wire and come back as they were."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from chassis.faults import Invalid
from chassis.timestamps import boundary_us, to_timestamp
from chassis.validation import Violations

YEAR_1_US, YEAR_9999_US = -62_135_596_800_000_000, 253_402_300_799_999_999


@given(st.integers(YEAR_1_US, YEAR_9999_US))
def test_a_time_comes_back_as_it_went(time_us: int) -> None:
    violations = Violations()
    assert time_us == boundary_us(violations, "time", to_timestamp(time_us))
    assert 0 == len(violations)


@given(st.integers(YEAR_1_US, YEAR_9999_US - 1), st.integers(1, 999))
def test_a_boundary_between_two_microseconds_is_the_later_one(time_us: int, nanos: int) -> None:
    between = to_timestamp(time_us)
    between.nanos += nanos
    assert time_us + 1 == boundary_us(Violations(), "time", between)


@pytest.mark.parametrize(
    "time",
    [
        Timestamp(seconds=253_402_300_800),
        Timestamp(seconds=-62_135_596_801),
        Timestamp(seconds=2**63 - 1),
        Timestamp(seconds=-(2**63)),
        Timestamp(nanos=-1),
        Timestamp(nanos=1_000_000_000),
    ],
)
def test_what_is_no_time_is_named(time: Timestamp) -> None:
    violations = Violations()
    assert boundary_us(violations, "create_time_after", time) is None
    with pytest.raises(Invalid) as invalid:
        violations.raise_if_any()
    assert ["create_time_after"] == [it.field for it in invalid.value.violations]
