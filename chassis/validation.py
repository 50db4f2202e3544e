"""Checks of what came from outside: each adds its violation and lets the next one speak too.

Invariant: a violation names its field by its path in the proto and says what to do. Must never:
stop at the first thing that is wrong, nor repeat what the caller sent.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import Final, Protocol

import pycountry

from chassis.faults import Invalid, Violation

INT64_MAX: Final = 2**63 - 1

IDENTIFIER_LENGTH_MAX: Final = 128
PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1_000

RECIPIENT_LENGTH_MAX: Final = 200
ADDRESS_LINES_MAX: Final = 5
ADDRESS_LINE_LENGTH_MAX: Final = 200
LOCALITY_LENGTH_MAX: Final = 100
REGION_LENGTH_MAX: Final = 100
POSTAL_CODE_LENGTH_MAX: Final = 20

# More are not kept: no answer could hold them.
_VIOLATIONS_MAX: Final = 1_000

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
# Unicode's control characters (Cc) and its line and paragraph separators (Zl, Zp).
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What formats the text around it (Cf), such as a zero width space: nothing of it is seen.
_FORMATTING: Final = "Cf"


class MoneyLike(Protocol):
    """An amount of money, as every message of that shape has it."""

    @property
    def currency_code(self) -> str:
        """ISO 4217."""
        ...

    @property
    def minor_units(self) -> int:
        """The amount."""
        ...


class AddressLike(Protocol):
    """A postal address, as every message of that shape has it."""

    @property
    def recipient(self) -> str:
        """Who receives it."""
        ...

    @property
    def lines(self) -> Sequence[str]:
        """Street, house and so on."""
        ...

    @property
    def locality(self) -> str:
        """City or town."""
        ...

    @property
    def region(self) -> str:
        """State, province or prefecture."""
        ...

    @property
    def postal_code(self) -> str:
        """Postal code."""
        ...

    @property
    def country_code(self) -> str:
        """ISO 3166-1 alpha-2."""
        ...


@functools.cache
def currency_codes() -> frozenset[str]:
    """Every active alphabetic code of ISO 4217."""
    return frozenset(currency.alpha_3 for currency in pycountry.currencies)


@functools.cache
def country_codes() -> frozenset[str]:
    """Every alpha-2 code of ISO 3166-1."""
    return frozenset(country.alpha_2 for country in pycountry.countries)


def is_identifier(value: str) -> bool:
    """Whether it is 1 to 128 of `A-Z a-z 0-9 . _ : -`, beginning with a letter or digit."""
    return _IDENTIFIER.fullmatch(value) is not None


class Violations:
    """Collects what is wrong with one request. Checks return what they got, right or wrong."""

    __slots__ = ("_count", "_found")

    def __init__(self) -> None:
        self._count = 0
        self._found: list[Violation] = []

    def __len__(self) -> int:
        """How many there are, those that are not told included."""
        return self._count

    def add(self, field: str, description: str) -> None:
        """Says that `field` is wrong. `description` goes on from it: "must be …"."""
        self._count += 1
        if len(self._found) < _VIOLATIONS_MAX:
            self._found.append(Violation(field=field, description=description))

    def raise_if_any(self) -> None:
        """Raises `Invalid` with all that was found, where something was."""
        if self._found:
            raise Invalid(self._found)

    def identifier(self, field: str, value: str, *, required: bool = True) -> str:
        """1 to 128 of `A-Z a-z 0-9 . _ : -`, beginning with a letter or digit."""
        if not value:
            if required:
                self.add(field, "is required")
        elif not _IDENTIFIER.fullmatch(value):
            self.add(
                field,
                f"must be 1 to {IDENTIFIER_LENGTH_MAX} characters of A-Z a-z 0-9 . _ : -, "
                "beginning with a letter or digit",
            )
        return value

    def text(self, field: str, value: str, *, length_max: int, required: bool = True) -> str:
        """At most `length_max` printable characters, not blank throughout."""
        if _is_plain(value, length_max):
            return value
        if not value:
            if required:
                self.add(field, "is required")
        elif len(value) > length_max:
            self.add(field, f"must have at most {length_max} characters")
        elif _UNPRINTABLE.search(value):
            self.add(field, "must not hold control characters or line breaks")
        elif _is_blank(value):
            self.add(field, "must not be blank")
        return value

    def key(self, field: str, value: str, *, length_max: int) -> str:
        """A text that others are told apart by: each of its characters is to be seen, or a space.

        A name may need what joins or turns its letters; of two keys that look alike one is a trap.
        """
        if _is_plain(value, length_max):
            return value
        found_before = self._count
        self.text(field, value, length_max=length_max)
        if self._count == found_before and any(map(_formats, value)):
            self.add(field, "must not hold invisible characters, such as a zero width space")
        return value

    def currency(self, field: str, code: str) -> str:
        """An active alphabetic code of ISO 4217."""
        if not code:
            self.add(field, "is required")
        elif code not in currency_codes():
            self.add(field, 'must be an ISO 4217 code in capitals, for example "USD"')
        return code

    def country(self, field: str, code: str) -> str:
        """An alpha-2 code of ISO 3166-1."""
        if not code:
            self.add(field, "is required")
        elif code not in country_codes():
            self.add(field, 'must be an ISO 3166-1 alpha-2 code in capitals, for example "US"')
        return code

    def number(self, field: str, value: int, *, low: int, high: int) -> int:
        """From `low` to `high`, both included."""
        if not low <= value <= high:
            self.add(
                field,
                f"must be at least {low}" if high >= INT64_MAX else f"must be {low} to {high}",
            )
        return value

    def page_size(self, value: int) -> int:
        """How many to list: 0 is taken as 100, more than 1,000 as 1,000."""
        if value < 0:
            self.add("page_size", f"must be 0 to {PAGE_SIZE_MAX}")
        return min(value, PAGE_SIZE_MAX) if value > 0 else PAGE_SIZE_DEFAULT


def _is_plain(value: str, length_max: int) -> bool:
    """Whether nothing can be wrong with a text or a key. Told quickly, and true of nearly all."""
    # What Python calls printable holds nothing that controls, parts or formats, nor any space but
    # the one; and a text that does not begin with that one is not blank.
    return value[:1] > " " and len(value) <= length_max and value.isprintable()


def _is_blank(value: str) -> bool:
    """Whether nothing of it is to be seen."""
    return all(it.isspace() or _formats(it) for it in value)


def _formats(character: str) -> bool:
    return unicodedata.category(character) == _FORMATTING


def lines_of(address: AddressLike) -> tuple[str, ...]:
    """The lines of an address; of too many, as many as tell that they are."""
    return tuple(address.lines[: ADDRESS_LINES_MAX + 1])


def check_address(violations: Violations, field: str, has: bool, address: AddressLike) -> None:
    """Checks a postal address; `has` is whether the message is there at all."""
    if not has:
        violations.add(field, "is required")
        return
    violations.text(f"{field}.recipient", address.recipient, length_max=RECIPIENT_LENGTH_MAX)
    lines = address.lines
    if not 1 <= len(lines) <= ADDRESS_LINES_MAX:
        violations.add(f"{field}.lines", f"must have 1 to {ADDRESS_LINES_MAX} entries")
    else:
        for index, line in enumerate(lines):
            violations.text(f"{field}.lines[{index}]", line, length_max=ADDRESS_LINE_LENGTH_MAX)
    violations.text(f"{field}.locality", address.locality, length_max=LOCALITY_LENGTH_MAX)
    violations.text(f"{field}.region", address.region, length_max=REGION_LENGTH_MAX, required=False)
    violations.text(
        f"{field}.postal_code",
        address.postal_code,
        length_max=POSTAL_CODE_LENGTH_MAX,
        required=False,
    )
    violations.country(f"{field}.country_code", address.country_code)


def check_money(
    violations: Violations,
    field: str,
    has: bool,
    money: MoneyLike,
    *,
    low: int = 0,
) -> None:
    """Checks an amount of at least `low` minor units; `has` is whether the message is there."""
    if not has:
        violations.add(field, "is required")
        return
    violations.currency(f"{field}.currency_code", money.currency_code)
    violations.number(f"{field}.minor_units", money.minor_units, low=low, high=INT64_MAX)
