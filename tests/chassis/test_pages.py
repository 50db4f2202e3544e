import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.faults import Invalid
from chassis.pages import decode, encode
from chassis.validation import INT64_MAX

FILTERS: dict[str, object] = {"states": [1, 3], "customer_id": "c1", "after_us": None}

identifiers = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}", fullmatch=True)
filters = st.dictionaries(
    st.text(max_size=10), st.none() | st.integers() | st.text(max_size=10) | st.lists(st.integers())
)


def forged(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


@given(st.integers(min_value=0, max_value=INT64_MAX), identifiers, filters)
def test_a_token_leads_back_to_its_place(
    time_us: int, id_: str, given_filters: dict[str, object]
) -> None:
    token = encode(given_filters, (time_us, id_))
    assert decode(token, given_filters) == (time_us, id_)
    assert token.isascii()
    assert not set(token) & set("+/= ")


def test_no_token_is_the_first_page() -> None:
    assert decode("", FILTERS) is None


def test_a_token_of_other_filters_is_refused() -> None:
    token = encode(FILTERS, (1, "ord_1"))
    with pytest.raises(Invalid) as caught:
        decode(token, {**FILTERS, "customer_id": "c2"})
    (violation,) = caught.value.violations
    assert violation.field == "page_token"
    assert violation.description == "must be sent with the same filters as the page before it"


def test_the_order_of_a_set_or_of_the_filters_makes_no_other_token() -> None:
    token = encode({"states": frozenset({"b", "a", "c"}), "customer_id": ""}, (1, "ord_1"))
    same = {"customer_id": "", "states": frozenset({"c", "b", "a"})}
    assert decode(token, same) == (1, "ord_1")


def test_a_filter_that_has_no_one_form_is_a_programmers_error() -> None:
    with pytest.raises(TypeError):
        encode({"states": object()}, (1, "ord_1"))


@given(
    st.text(min_size=1, max_size=600) | st.binary(min_size=1).map(lambda it: it.decode("latin1"))
)
def test_garbage_is_refused_and_never_crashes(garbage: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode(garbage, FILTERS)
    assert caught.value.violations[0].field == "page_token"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(json_values)
def test_a_forged_token_is_refused_and_never_crashes(content: object) -> None:
    with pytest.raises(Invalid):
        decode(forged(content), FILTERS)


@pytest.mark.parametrize(
    "change",
    [
        {0: 2},
        {0: True},
        {2: -1},
        {2: INT64_MAX + 1},
        {2: True},
        {2: 1.5},
        {3: ""},
        {3: "a\x00b"},
        {3: "x" * 129},
        {3: None},
    ],
)
def test_a_token_changed_in_one_place_is_refused(change: dict[int, object]) -> None:
    token = encode(FILTERS, (1, "ord_1"))
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    (place,) = change
    content[place] = change[place]
    with pytest.raises(Invalid):
        decode(forged(content), FILTERS)


def test_a_token_far_too_deep_is_refused() -> None:
    with pytest.raises(Invalid):
        decode(base64.urlsafe_b64encode(b"[" * 350).decode(), FILTERS)
