"""Prices as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.money import digits_of, format_money, parse_price
from oms.common.v1.money_pb2 import Money


@pytest.mark.parametrize(
    ("text", "currency", "minor_units"),
    [
        ("12.50", "USD", 1250),
        ("12.5", "USD", 1250),
        ("12", "USD", 1200),
        ("0", "USD", 0),
        ("-1.00", "USD", -100),
        ("1250", "JPY", 1250),
        ("1.250", "KWD", 1250),
        ("1.2345", "CLF", 12345),
        ("92233720368547758.07", "USD", 2**63 - 1),
    ],
)
def test_a_price_is_so_many_minor_units(text: str, currency: str, minor_units: int) -> None:
    assert minor_units == parse_price(text, currency)


@pytest.mark.parametrize(
    ("text", "currency", "said"),
    [
        ("12.505", "USD", "2 digits after the point: write it as 12.50"),
        ("12.5", "JPY", "no digits after the point: write it as 1250"),
        ("12,50", "USD", "is not a price"),
        ("1e3", "USD", "is not a price"),
        ("", "KWD", "write it as 12.500"),
        ("١٢", "USD", "is not a price"),
    ],
)
def test_what_is_no_price_says_what_to_write(text: str, currency: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_price(text, currency)


@pytest.mark.parametrize(
    ("minor_units", "currency", "text"),
    [
        (1250, "USD", "12.50 USD"),
        (5, "USD", "0.05 USD"),
        (-5, "USD", "-0.05 USD"),
        (7, "JPY", "7 JPY"),
    ],
)
def test_an_amount_is_shown_with_its_digits(minor_units: int, currency: str, text: str) -> None:
    assert text == format_money(Money(currency_code=currency, minor_units=minor_units))


@given(
    minor_units=st.integers(min_value=-(2**63), max_value=2**63 - 1),
    currency=st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
)
def test_what_is_shown_can_be_typed(minor_units: int, currency: str) -> None:
    shown = format_money(Money(currency_code=currency, minor_units=minor_units))
    assert minor_units == parse_price(shown.split()[0], currency)


def test_most_currencies_have_two_digits() -> None:
    assert 2 == digits_of("EUR")
