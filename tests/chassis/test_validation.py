import sys
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import validation
from chassis.faults import Invalid, Violation
from chassis.validation import (
    INT64_MAX,
    Violations,
    check_address,
    check_money,
    country_codes,
    currency_codes,
    is_identifier,
)
from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money

INT64_MIN = -INT64_MAX - 1
CONTROL_CHARACTERS = ["\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"]


def found(check: Callable[[Violations], object]) -> list[tuple[str, str]]:
    """What a check has to say."""
    violations = Violations()
    check(violations)
    try:
        violations.raise_if_any()
    except Invalid as invalid:
        return [(it.field, it.description) for it in invalid.violations]
    return []


def fields(check: Callable[[Violations], object]) -> list[str]:
    return [field for field, _ in found(check)]


def address() -> Address:
    return Address(
        recipient="Ada",
        lines=["1 Market St"],
        locality="San Francisco",
        region="CA",
        postal_code="94105",
        country_code="US",
    )


def test_nothing_wrong_raises_nothing() -> None:
    Violations().raise_if_any()


def test_all_that_is_wrong_is_raised_at_once_in_order() -> None:
    violations = Violations()
    violations.identifier("order_id", "")
    violations.add("items", "must have 1 to 1000 entries")
    violations.currency("total.currency_code", "usd")
    assert len(violations) == 3
    with pytest.raises(Invalid) as caught:
        violations.raise_if_any()
    assert caught.value.violations == (
        Violation(field="order_id", description="is required"),
        Violation(field="items", description="must have 1 to 1000 entries"),
        Violation(
            field="total.currency_code",
            description='must be an ISO 4217 code in capitals, for example "USD"',
        ),
    )


def test_the_violations_of_one_request_are_bounded() -> None:
    violations = Violations()
    for index in range(5_000):
        violations.add(f"items[{index}]", "is bad")
    with pytest.raises(Invalid) as raised:
        violations.raise_if_any()
    assert len(raised.value.violations) == 1_000
    # Whoever asks whether one more was found is told so all the same.
    assert len(violations) == 5_000


@pytest.mark.parametrize("value", ["a", "ord_01jd", "A.b:c-d_9", "0", "x" * 128])
def test_an_identifier_is_taken(value: str) -> None:
    assert found(lambda it: it.identifier("id", value)) == []
    assert is_identifier(value)


@pytest.mark.parametrize(
    "value", ["_a", "-a", ".a", "a b", "ä", "a\n", "a\x00", "a/b", "x" * 129, " ", "٣"]
)
def test_what_is_no_identifier_is_refused(value: str) -> None:
    assert fields(lambda it: it.identifier("id", value)) == ["id"]
    assert not is_identifier(value)


def test_an_identifier_is_required_unless_it_is_not() -> None:
    assert found(lambda it: it.identifier("id", "")) == [("id", "is required")]
    assert found(lambda it: it.identifier("id", "", required=False)) == []
    assert fields(lambda it: it.identifier("id", "?", required=False)) == ["id"]


@given(st.text(max_size=140))
def test_a_check_returns_what_it_was_given(value: str) -> None:
    violations = Violations()
    assert violations.identifier("a", value) == value
    assert violations.text("b", value, length_max=5) == value
    assert violations.currency("c", value) == value
    assert violations.country("d", value) == value


@pytest.mark.parametrize("value", ["Ada Lovelace", "北京市", "a", "é" * 20, "👩‍🚀", " a "])
def test_a_printable_text_is_taken(value: str) -> None:
    assert found(lambda it: it.text("name", value, length_max=20)) == []


@pytest.mark.parametrize("character", CONTROL_CHARACTERS)
def test_a_text_with_a_control_character_is_refused(character: str) -> None:
    assert found(lambda it: it.text("name", f"a{character}b", length_max=20)) == [
        ("name", "must not hold control characters or line breaks")
    ]


def test_a_text_is_neither_missing_nor_blank_nor_too_long() -> None:
    assert found(lambda it: it.text("name", "", length_max=3)) == [("name", "is required")]
    assert found(lambda it: it.text("name", "", length_max=3, required=False)) == []
    assert found(lambda it: it.text("name", "  ", length_max=3)) == [("name", "must not be blank")]
    assert found(lambda it: it.text("name", "\u3000", length_max=3, required=False)) == [
        ("name", "must not be blank")
    ]
    assert found(lambda it: it.text("name", "\u200b\ufeff ", length_max=3)) == [
        ("name", "must not be blank")
    ]
    # What joins the parts of one sign is no blank.
    assert found(lambda it: it.text("name", "\U0001f469\u200d\U0001f4bb", length_max=3)) == []
    assert found(lambda it: it.text("name", "abc", length_max=3)) == []
    assert found(lambda it: it.text("name", "abcd", length_max=3)) == [
        ("name", "must have at most 3 characters")
    ]


@pytest.mark.parametrize("invisible", ["\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad"])
def test_a_key_holds_nothing_that_cannot_be_seen(invisible: str) -> None:
    assert found(lambda it: it.key("customer_id", f"c{invisible}1", length_max=9)) == [
        ("customer_id", "must not hold invisible characters, such as a zero width space")
    ]
    # A name may: Persian is not written without.
    assert found(lambda it: it.text("recipient", f"c{invisible}1", length_max=9)) == []


@pytest.mark.parametrize("value", ["c 1", "Zoë", "北京市", "BOOK/1#2"])
def test_a_key_of_what_can_be_seen_is_taken(value: str) -> None:
    assert found(lambda it: it.key("sku", value, length_max=20)) == []


@pytest.mark.parametrize("value", ["", " ", "\u200b", "a\n\u200b", "abcd", "abc"])
def test_a_key_is_as_any_text_in_all_else(value: str) -> None:
    as_text = found(lambda it: it.text("sku", value, length_max=3))
    assert as_text == found(lambda it: it.key("sku", value, length_max=3))


def test_what_is_told_quickly_to_be_a_good_key_holds_nothing_that_cannot_be_seen() -> None:
    every = [it for it in map(chr, range(sys.maxunicode + 1)) if validation._is_plain(it, 1)]
    assert not {"Cc", "Cf", "Zl", "Zp", "Zs"} & set(map(unicodedata.category, every))
    assert not validation._is_plain("  ", 2)
    assert not validation._is_plain("", 2)


@given(st.text(max_size=30))
def test_a_text_that_is_taken_fits_on_one_line(value: str) -> None:
    if not found(lambda it: it.text("name", value, length_max=20)):
        assert 1 <= len(value) <= 20
        assert value.splitlines() == [value]
        assert value.strip()


def test_the_codes_are_those_of_the_standards() -> None:
    assert {"USD", "EUR", "JPY", "CHF", "KWD"} <= currency_codes()
    assert {"US", "DE", "AQ", "JP"} <= country_codes()
    assert all(len(it) == 3 and it.isupper() for it in currency_codes())
    assert all(len(it) == 2 and it.isupper() for it in country_codes())


@pytest.mark.parametrize("code", ["usd", "USDX", "US", "DEM", "ZZZ", "840", " USD", "USD\n"])
def test_what_is_no_currency_is_refused(code: str) -> None:
    assert fields(lambda it: it.currency("code", code)) == ["code"]


@pytest.mark.parametrize("code", ["us", "USA", "ZZ", "840", "UK", "XX", "US\n"])
def test_what_is_no_country_is_refused(code: str) -> None:
    assert found(lambda it: it.country("code", code)) == [
        ("code", 'must be an ISO 3166-1 alpha-2 code in capitals, for example "US"')
    ]


def test_a_number_is_within_its_bounds() -> None:
    assert found(lambda it: it.number("n", 1, low=1, high=5)) == []
    assert found(lambda it: it.number("n", 5, low=1, high=5)) == []
    assert found(lambda it: it.number("n", 0, low=1, high=5)) == [("n", "must be 1 to 5")]
    assert found(lambda it: it.number("n", 6, low=1, high=5)) == [("n", "must be 1 to 5")]
    assert found(lambda it: it.number("n", -1, low=0, high=INT64_MAX)) == [
        ("n", "must be at least 0")
    ]


@pytest.mark.parametrize(
    ("asked", "taken"), [(0, 100), (1, 1), (1_000, 1_000), (1_001, 1_000), (2**31 - 1, 1_000)]
)
def test_a_page_size_has_a_default_and_a_limit(asked: int, taken: int) -> None:
    violations = Violations()
    assert violations.page_size(asked) == taken
    violations.raise_if_any()


def test_a_negative_page_size_is_refused() -> None:
    assert found(lambda it: it.page_size(-1)) == [("page_size", "must be 0 to 1000")]


def test_a_good_address_is_taken() -> None:
    assert found(lambda it: check_address(it, "to", True, address())) == []
    bare = Address(recipient="Ada", lines=["1"], locality="Here", country_code="AQ")
    assert found(lambda it: check_address(it, "to", True, bare)) == []


def test_a_missing_address_is_one_violation() -> None:
    assert found(lambda it: check_address(it, "to", False, Address())) == [("to", "is required")]


def test_an_empty_address_names_every_field_it_needs() -> None:
    assert fields(lambda it: check_address(it, "to", True, Address())) == [
        "to.recipient",
        "to.lines",
        "to.locality",
        "to.country_code",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (Address(recipient="x" * 201), "to.recipient"),
        (Address(locality="x" * 101), "to.locality"),
        (Address(region="x" * 101), "to.region"),
        (Address(postal_code="x" * 21), "to.postal_code"),
        (Address(country_code="USA"), "to.country_code"),
        (Address(lines=["x" * 201]), "to.lines[1]"),
        (Address(lines=["ok", ""]), "to.lines[2]"),
        (Address(lines=["a\nb"]), "to.lines[1]"),
        (Address(lines=["2", "3", "4", "5", "6"]), "to.lines"),
        (Address(region="a\x00b"), "to.region"),
    ],
)
def test_each_limit_of_an_address_is_kept(change: Address, field: str) -> None:
    changed = address()
    changed.MergeFrom(change)
    assert fields(lambda it: check_address(it, "to", True, changed)) == [field]


def test_an_amount_of_money_is_taken() -> None:
    for units in (0, 1, INT64_MAX):
        money = Money(currency_code="USD", minor_units=units)
        violations = Violations()
        check_money(violations, "total", True, money)
        violations.raise_if_any()


@pytest.mark.parametrize(
    ("money", "expected"),
    [
        (Money(currency_code="usd", minor_units=1), ["total.currency_code"]),
        (Money(currency_code="USD", minor_units=-1), ["total.minor_units"]),
        (Money(minor_units=INT64_MIN), ["total.currency_code", "total.minor_units"]),
    ],
)
def test_each_part_of_an_amount_is_checked(money: Money, expected: list[str]) -> None:
    assert fields(lambda it: check_money(it, "total", True, money)) == expected


def test_a_missing_amount_is_one_violation() -> None:
    assert found(lambda it: check_money(it, "total", False, Money())) == [("total", "is required")]


def test_an_amount_may_have_to_be_more_than_nothing() -> None:
    money = Money(currency_code="USD", minor_units=0)
    assert found(lambda it: check_money(it, "total", True, money, low=1)) == [
        ("total.minor_units", "must be at least 1")
    ]
