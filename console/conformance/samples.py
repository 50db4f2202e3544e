"""Samples of what all three kinds send: ids, addresses, money, and mistakes in them.

Invariant: each mistake is one thing that the contract's comments forbid, each extreme the last
thing that they allow. It must never hold what only some implementations would mind.
"""

from collections.abc import Sequence
from typing import Final

from console.conformance.kind import Mistake, Variant, clear, fill, set_to
from console.conformance.knobs import Knobs
from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money

ID_LENGTH_MAX: Final = 128
_PUNCTUATED: Final = "A._:-"


def address(knobs: Knobs) -> Address:
    """An address that is delivered to."""
    return Address(
        recipient="Ada Łovelace",
        lines=["1 Market St", "3rd floor"],
        locality="San Francisco",
        region="CA",
        postal_code="94105",
        country_code=knobs.served_country,
    )


def money(knobs: Knobs, minor_units: int = 1_250) -> Money:
    """An amount."""
    return Money(currency_code=knobs.currency, minor_units=minor_units)


def longest_id(id_: str) -> str:
    """An id made as long as one can be, with every punctuation mark there is."""
    return (_PUNCTUATED + id_).ljust(ID_LENGTH_MAX, "z")


def id_mistakes(field: str, *, required: bool) -> Sequence[Mistake]:
    """What an id cannot be."""
    wrong = {
        "129 characters": "a" * (ID_LENGTH_MAX + 1),
        "a first character that is no letter or digit": "-a",
        "a blank in it": "a b",
        "a letter beyond a to z in it": "añ",
    }
    if required:
        wrong["left out"] = ""
    return [
        Mistake(field=field, says=f"{field}: {says}", make=set_to(field, value))
        for says, value in wrong.items()
    ]


def text_mistakes(field: str, length_max: int, *, required: bool) -> Sequence[Mistake]:
    """What a text cannot be."""
    wrong = {
        f"{length_max + 1} characters": "x" * (length_max + 1),
        "a line break in it": "a\nb",
    }
    if required:
        wrong["left out"] = ""
    return [
        Mistake(field=field, says=f"{field}: {says}", make=set_to(field, value))
        for says, value in wrong.items()
    ]


def money_mistakes(field: str) -> Sequence[Mistake]:
    """What an amount cannot be."""
    code = f"{field}.currency_code"
    return [
        Mistake(field=field, says=f"{field}: left out", make=clear(field)),
        *(
            Mistake(field=code, says=f"{code}: {value or 'left out'}", make=set_to(code, value))
            for value in ("", "usd", "US", "QQQ")
        ),
        Mistake(
            field=f"{field}.minor_units",
            says=f"{field}.minor_units: -1",
            make=set_to(f"{field}.minor_units", -1),
        ),
    ]


def address_mistakes(field: str) -> Sequence[Mistake]:
    """What an address cannot be."""
    code = f"{field}.country_code"
    return [
        Mistake(field=field, says=f"{field}: left out", make=clear(field)),
        *text_mistakes(f"{field}.recipient", 200, required=True),
        Mistake(field=f"{field}.lines", says=f"{field}.lines: none", make=clear(f"{field}.lines")),
        Mistake(
            field=f"{field}.lines",
            says=f"{field}.lines: six",
            make=fill(f"{field}.lines", ["a", "b", "c", "d", "e", "f"]),
        ),
        Mistake(
            field=f"{field}.lines[1]",
            says=f"{field}.lines: one of 201 characters",
            make=fill(f"{field}.lines", ["a", "b" * 201]),
        ),
        *text_mistakes(f"{field}.locality", 100, required=True),
        *text_mistakes(f"{field}.region", 100, required=False),
        *text_mistakes(f"{field}.postal_code", 20, required=False),
        *(
            Mistake(field=code, says=f"{code}: {value or 'left out'}", make=set_to(code, value))
            for value in ("", "us", "USA", "QQ")
        ),
    ]


def address_extremes(field: str) -> Sequence[Variant]:
    """The most and the least that an address can be."""

    def most(request: object) -> None:
        for part, length in (("recipient", 200), ("locality", 100), ("region", 100)):
            set_to(f"{field}.{part}", "é" * length)(request)
        set_to(f"{field}.postal_code", "9" * 20)(request)
        fill(f"{field}.lines", ["日" * 200] * 5)(request)

    def least(request: object) -> None:
        clear(f"{field}.region")(request)
        clear(f"{field}.postal_code")(request)
        fill(f"{field}.lines", ["a"])(request)

    return [
        Variant(says=f"{field}: everything as long as it can be", make=most),
        Variant(says=f"{field}: one line, no region, no postal code", make=least),
    ]
