"""Resume tokens: round trips, and whatever else a caller may send."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.faults import Invalid
from chassis.validation import INT64_MAX
from orchestrator.audit import resume_token
from orchestrator.audit.finding import Finding, Kind, Risk, Severity
from orchestrator.audit.progress import AtRisk, Counts, Progress, Range, Tally, begun
from orchestrator.placed_order import Money

MOMENTS = st.integers(0, 10**17)
NUMBERS = st.integers(0, INT64_MAX)
TIMES = st.none() | st.integers(-INT64_MAX, INT64_MAX)
PROGRESSES = st.builds(
    Progress,
    range=st.builds(
        Range,
        created_from_us=TIMES,
        created_before_us=TIMES,
        overdue_seconds=st.integers(1, 31_536_000),
    ),
    until_us=MOMENTS,
    position_us=MOMENTS,
    width_us=st.integers(1, 10**17),
    tally=st.builds(
        Tally,
        counts=st.builds(
            Counts, processes=NUMBERS, orders=NUMBERS, payments=NUMBERS, deliveries=NUMBERS
        ),
        kinds=st.dictionaries(st.sampled_from(Kind), NUMBERS),
        at_risk=st.dictionaries(
            st.sampled_from(["USD", "EUR", "JPY"]),
            st.builds(
                AtRisk, held=NUMBERS, captured=NUMBERS, payments=NUMBERS, oldest_since_us=MOMENTS
            ),
        ),
        wrong=st.booleans(),
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(PROGRESSES)
def test_what_is_encoded_is_decoded_equal(progress: Progress) -> None:
    assert progress == resume_token.decode(resume_token.encode(progress))


@given(st.text(min_size=1))
def test_any_text_is_a_token_or_invalid(token: str) -> None:
    with pytest.raises(Invalid) as refused:
        resume_token.decode(token)
    assert ["resume_token"] == [it.field for it in refused.value.violations]


@given(JSON | st.lists(JSON, min_size=7, max_size=7))
def test_any_content_is_a_token_or_invalid(content: object) -> None:
    token = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    with pytest.raises(Invalid):
        resume_token.decode(token)


@given(PROGRESSES, st.integers(0, 6), JSON)
def test_a_token_of_which_a_part_was_made_up_is_a_token_or_invalid(
    progress: Progress, place: int, made_up: object
) -> None:
    token = resume_token.encode(progress)
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    content[place] = made_up
    spoilt = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    try:
        decoded = resume_token.decode(spoilt)
    except Invalid:
        return
    assert decoded == resume_token.decode(resume_token.encode(decoded))


def test_an_audit_ends_where_it_began_to_though_orders_go_on_coming_in() -> None:
    assert 50 == begun(Range(overdue_seconds=1), 50).until_us
    assert 50 == begun(Range(overdue_seconds=1, created_before_us=90), 50).until_us
    assert 20 == begun(Range(overdue_seconds=1, created_before_us=20), 50).until_us
    nothing = begun(Range(overdue_seconds=1, created_from_us=90), 50)
    assert nothing.finished


def test_money_at_risk_stops_at_what_the_wire_can_carry() -> None:
    finding = Finding(
        kind=Kind.ORPHAN_PAYMENT,
        severity=Severity.CRITICAL,
        amount=Money(currency_code="USD", minor_units=INT64_MAX),
        risk=Risk.CAPTURED,
        since_us=5,
        message="",
    )
    tally = Tally().plus(Counts(processes=1), [finding, finding])
    assert {"USD": AtRisk(captured=INT64_MAX, payments=2, oldest_since_us=5)} == tally.at_risk
    assert tally.wrong
