"""Prices as people write them, and minor units as the contract counts them.

Invariant: exact; nothing here is ever a float, and what cannot be said in a currency's minor
units is refused. This module must never judge whether a currency exists: the server does.
"""

import re
from typing import Final

from oms.common.v1.money_pb2 import Money

# ISO 4217 gives almost every currency two digits after the point. These are the others. Metals,
# funds and
# the testing codes have no minor unit at all, and are counted in whole ones.
_DIGITS: Final = {
    **dict.fromkeys(
        (
            *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"),
            *("VND", "VUV", "XAF", "XOF", "XPF"),
            *("XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA"),
            "XXX",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
_DIGITS_DEFAULT: Final = 2
_PRICE: Final = re.compile(r"(-?)([0-9]{1,19})(?:\.([0-9]{1,9}))?")


def digits_of(currency_code: str) -> int:
    """How many digits a currency has after the point."""
    return _DIGITS.get(currency_code, _DIGITS_DEFAULT)


def parse_price(text: str, currency_code: str) -> int:
    """The minor units of a price such as "12.50". Raises ValueError with what to write instead."""
    digits = digits_of(currency_code)
    found = _PRICE.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is not a price: write it as {_example(digits)}')
    sign, whole, fraction = found[1], found[2], found[3] or ""
    if len(fraction) > digits:
        counts = f"{digits} digits" if digits else "no digits"
        raise ValueError(
            f'"{text}" is not a price in {currency_code}, which has {counts} after the point: '
            f"write it as {_example(digits)}"
        )
    return int(f"{sign}{whole}{fraction.ljust(digits, '0')}")


def format_money(money: Money) -> str:
    """An amount as people write it, for example "12.50 USD"."""
    digits = digits_of(money.currency_code)
    sign = "-" if money.minor_units < 0 else ""
    units = str(abs(money.minor_units)).rjust(digits + 1, "0")
    amount = f"{units[:-digits]}.{units[-digits:]}" if digits else units
    return f"{sign}{amount} {money.currency_code}"


def _example(digits: int) -> str:
    return f"12.{'5'.ljust(digits, '0')}" if digits else "1250"
