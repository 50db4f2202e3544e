"""The rows of an import file, read one after the other, as orders or as rejections.

Invariant: every row comes out exactly once, in an order or in a rejection, and no more than one
order's rows are held at a time, however large the file. This module must never guess: what cannot
be read as it is documented is rejected, and why is said. Whether what was read is a proper order
is for the server to say.

CSV: a header and a row for each item; rows of one order have the same key, follow each other and
agree on everything but the item. JSON lines: one StartOrderProcessRequest in protobuf JSON a
line, with a "key" of its own in place of the request id.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final, NamedTuple

from google.protobuf.json_format import ParseDict, ParseError

from console.import_keys import SeenKeys
from console.terminal import BadInput
from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from oms.order.v1.order_pb2 import OrderItem

ITEM_COLUMNS: Final = ("sku", "quantity", "unit_price_minor_units", "currency_code")
ORDER_COLUMNS: Final = (
    "customer_id",
    "payment_method",
    "recipient",
    "line1",
    "line2",
    "locality",
    "region",
    "postal_code",
    "country_code",
)
COLUMNS: Final = ("key", "customer_id", *ITEM_COLUMNS, *ORDER_COLUMNS[1:])
_OPTIONAL_COLUMNS: Final = frozenset({"line2", "region", "postal_code"})
_JSON_COLUMNS: Final = ("key", "row")
REJECTION_COLUMNS: Final = ("rejected_line", "rejected_reason", "rejected_details")

ITEMS_MAX: Final = 1_000
LINE_BYTES_MAX: Final = 4 * 1024 * 1024
UNREADABLE: Final = "UNREADABLE_ROW"
INVALID: Final = "INVALID_ROW"
DUPLICATE: Final = "DUPLICATE_KEY"
_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it stands in the file."""

    line: int
    fields: Mapping[str, str]
    columns: tuple[str, ...]
    """The columns of its file, in their order, without those of a rejection."""
    broken: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order that can be sent."""

    key: str
    rows: tuple[Row, ...]
    request: StartOrderProcessRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Rows that cannot be sent, or that the server refused."""

    rows: tuple[Row, ...]
    reason: str
    details: str


Entry = Order | Rejection


class Refusal(NamedTuple):
    """Why rows make no order."""

    reason: str
    details: str


def entries(file: BinaryIO, format_: Format, *, seen: SeenKeys, name: str) -> Iterator[Entry]:
    """What is in a file; `seen` remembers keys, `name` is what the request ids begin with."""
    rejoined = _csv_entries if format_ is Format.CSV else _json_entries
    for entry in rejoined(_lines(file), seen):
        if isinstance(entry, Order):
            entry.request.request_id = f"{name}/{entry.key}"
        yield entry


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of bounded length: what is longer comes cut, one byte too long to be taken."""
    first = True
    while line := file.readline(LINE_BYTES_MAX + 1):
        if len(line) > LINE_BYTES_MAX and not line.endswith(b"\n"):
            while (rest := file.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
                pass
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False


# CSV


def _csv_entries(lines: Iterator[bytes], seen: SeenKeys) -> Iterator[Entry]:
    group: list[Row] = []
    refusal: Refusal | None = None
    unreadable: Row | None = None
    for row in _csv_rows(lines):
        if row.broken and "key" not in row.fields:
            # Nobody knows whose it is: the order before it and the one after it may lack an item.
            yield from _close(group, refusal or _beside(row))
            yield Rejection(rows=(row,), reason=UNREADABLE, details=row.broken)
            group, refusal, unreadable = [], None, row
            continue
        key = row.fields["key"]
        if group and group[0].fields["key"] == key:
            if len(group) == ITEMS_MAX:
                # Nothing of an order that is too long is kept: the rest of it is
                # refused as it comes.
                refusal = Refusal(INVALID, f"an order has at most {ITEMS_MAX:,} items")
                yield from _close(group, refusal)
                group = []
        else:
            yield from _close(group, refusal)
            group, refusal = [], _refusal_of_key(key, row.line, seen)
            if unreadable is not None:
                refusal, unreadable = refusal or _beside(unreadable), None
        group.append(row)
        if row.broken:
            refusal = refusal or Refusal(UNREADABLE, f"{row.broken} (line {row.line})")
    yield from _close(group, refusal)


def _csv_rows(lines: Iterator[bytes]) -> Iterator[Row]:
    """Rows by column, and where the file itself is broken, what is wrong with it."""
    # What is not UTF-8 comes through as surrogates, and breaks its row alone.
    reader = csv.reader((line.decode("utf-8", "surrogateescape") for line in lines), strict=True)
    try:
        header = _header(next(reader, None))
    except csv.Error as error:
        raise BadInput(
            f"The first row must name the columns; it cannot be read: {error}."
        ) from None
    columns = tuple(name for name in header if name not in REJECTION_COLUMNS)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            last = reader.line_num
            where = f"lines {line} to {last}" if last > line else f"line {line}"
            broken = f"{where} cannot be told apart: {error}"
            yield Row(line=line, fields={}, columns=columns, broken=broken)
            continue
        if values is None:
            return
        if not values:
            continue
        fields = dict(zip(header, values, strict=False))
        broken = ""
        if any(_has_surrogates(value) for value in values):
            broken = "it is not UTF-8"
            fields = {name: _readable(value) for name, value in fields.items()}
        elif len(values) != len(header):
            broken = f"{len(header)} columns are expected, {len(values)} found"
        yield Row(line=line, fields=fields, columns=columns, broken=broken)


def _header(names: list[str] | None) -> list[str]:
    if names is None:
        raise BadInput("The file is empty: its first row must name the columns.")
    if any(_has_surrogates(name) or "\0" in name for name in names):
        raise BadInput("The file is not UTF-8: write it anew in that encoding.")
    names = [name.strip() for name in names]
    missing = [it for it in COLUMNS if it not in names and it not in _OPTIONAL_COLUMNS]
    unknown = [it for it in names if it not in COLUMNS and it not in REJECTION_COLUMNS]
    if missing:
        raise BadInput(f"The first row must name the columns; it lacks {', '.join(missing)}.")
    if unknown:
        raise BadInput(
            f"The first row names columns that mean nothing here: {', '.join(map(repr, unknown))}."
        )
    if len(set(names)) != len(names):
        raise BadInput("The first row names a column twice.")
    return names


def _close(group: Sequence[Row], refusal: Refusal | None) -> Iterator[Entry]:
    """The order that some rows make, or why they make none."""
    if not group:
        return
    if refusal is not None:
        yield Rejection(rows=tuple(group), reason=refusal.reason, details=refusal.details)
        return
    first = group[0].fields
    wrong = [
        f"{column} differs from line {group[0].line}, which has the same key (line {row.line})"
        for row in group[1:]
        for column in ORDER_COLUMNS
        if row.fields.get(column) != first.get(column)
    ]
    items: list[OrderItem] = []
    for row in group:
        try:
            items.append(_item(row.fields))
        except ValueError as error:
            wrong.append(f"{error} (line {row.line})")
    if wrong:
        yield Rejection(rows=tuple(group), reason=INVALID, details="; ".join(wrong[:20]))
        return
    yield Order(key=first["key"], rows=tuple(group), request=_request(first, items))


def _item(fields: Mapping[str, str]) -> OrderItem:
    return OrderItem(
        sku=fields["sku"],
        quantity=_whole(fields, "quantity", _INT32_MAX),
        unit_price=Money(
            currency_code=fields["currency_code"],
            minor_units=_whole(fields, "unit_price_minor_units", _INT64_MAX),
        ),
    )


def _whole(fields: Mapping[str, str], column: str, most: int) -> int:
    text = fields[column].strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20 or abs(int(text)) > most:
        raise ValueError(f'{column}: "{text[:40]}" is not a whole number within bounds')
    return int(text)


def _request(fields: Mapping[str, str], items: Sequence[OrderItem]) -> StartOrderProcessRequest:
    return StartOrderProcessRequest(
        customer_id=fields["customer_id"],
        items=items,
        payment_method=fields["payment_method"],
        delivery_address=Address(
            recipient=fields["recipient"],
            lines=[it for it in (fields["line1"], fields.get("line2", "")) if it],
            locality=fields["locality"],
            region=fields.get("region", ""),
            postal_code=fields.get("postal_code", ""),
            country_code=fields["country_code"],
        ),
    )


# JSON lines


def _json_entries(lines: Iterator[bytes], seen: SeenKeys) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        text = line.decode("utf-8", "replace").strip()
        try:
            key, request = _json_order(line)
        except ValueError as error:
            row = Row(line=number, fields={"row": text}, columns=_JSON_COLUMNS)
            yield Rejection(rows=(row,), reason=UNREADABLE, details=str(error))
            continue
        row = Row(line=number, fields={"key": key, "row": text}, columns=_JSON_COLUMNS)
        refusal = _refusal_of_key(key, number, seen)
        if refusal is None:
            yield Order(key=key, rows=(row,), request=request)
        else:
            yield Rejection(rows=(row,), reason=refusal.reason, details=refusal.details)


def _json_order(line: bytes) -> tuple[str, StartOrderProcessRequest]:
    if len(line) > LINE_BYTES_MAX:
        raise ValueError(f"the line is longer than {LINE_BYTES_MAX:,} bytes")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - said of a file
    key = value.pop("key", "")
    if not isinstance(key, str) or _has_surrogates(key):
        raise ValueError("its key is not a string")
    for name in ("request_id", "requestId", "return_immediately", "returnImmediately"):
        if name in value:
            raise ValueError(f"{name} is not the row's to say: the key stands for it")
    try:
        return key, ParseDict(value, StartOrderProcessRequest())
    except (ParseError, ValueError) as error:
        raise ValueError(str(error)) from None


# Both


def _refusal_of_key(key: str, line: int, seen: SeenKeys) -> Refusal | None:
    if not key:
        return Refusal(INVALID, "key: must not be empty")
    before = seen.remember(key, line)
    if before is None:
        return None
    return Refusal(DUPLICATE, f'key: "{key}" is already that of line {before}')


def _beside(row: Row) -> Refusal:
    return Refusal(UNREADABLE, f"line {row.line} beside it is unreadable, and may be an item of it")


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
