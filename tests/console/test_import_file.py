"""What an import makes of a file."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.import_file import ITEMS_MAX, LINE_BYTES_MAX, Entry, Format, Order, Rejection, entries
from console.import_keys import SeenKeys
from console.terminal import BadInput

HEADER = (
    "key,customer_id,sku,quantity,unit_price_minor_units,currency_code,payment_method,"
    "recipient,line1,line2,locality,region,postal_code,country_code"
)


def row(key: str, sku: str = "BOOK", quantity: object = 2, customer: str = "c1") -> str:
    return (
        f"{key},{customer},{sku},{quantity},1250,USD,pm_card_visa,Ada,1 Market St,,SF,CA,94105,US"
    )


def read(data: bytes, format_: Format) -> list[Entry]:
    with SeenKeys() as seen:
        return list(entries(io.BytesIO(data), format_, seen=seen, name="spring"))


def read_csv(*lines: str, header: str = HEADER) -> list[Entry]:
    return read("\n".join([header, *lines, ""]).encode("utf-8", "surrogateescape"), Format.CSV)


def shown(found: list[Entry]) -> list[tuple[str, list[int]]]:
    """The key or the reason of each entry, and its lines."""
    return [
        (it.key if isinstance(it, Order) else it.reason, [row.line for row in it.rows])
        for it in found
    ]


def details(found: list[Entry]) -> str:
    (rejection,) = [it for it in found if isinstance(it, Rejection)]
    return rejection.details


def test_a_row_is_an_order() -> None:
    (order,) = read_csv(row("7"))
    assert isinstance(order, Order)
    request = order.request
    assert "spring/7" == request.request_id
    assert ("c1", "pm_card_visa") == (request.customer_id, request.payment_method)
    assert [("BOOK", 2, 1250, "USD")] == [
        (it.sku, it.quantity, it.unit_price.minor_units, it.unit_price.currency_code)
        for it in request.items
    ]
    address = request.delivery_address
    assert ["1 Market St"] == list(address.lines)
    assert ("Ada", "SF", "CA", "94105", "US") == (
        address.recipient,
        address.locality,
        address.region,
        address.postal_code,
        address.country_code,
    )


def test_rows_with_the_same_key_one_after_the_other_are_the_items_of_one_order() -> None:
    found = read_csv(row("1"), row("1", "PEN"), row("2"))
    assert [("1", [2, 3]), ("2", [4])] == shown(found)
    assert isinstance(found[0], Order)
    assert ["BOOK", "PEN"] == [it.sku for it in found[0].request.items]


def test_a_key_that_comes_again_further_down_is_rejected_and_the_first_stands() -> None:
    found = read_csv(row("1"), row("2"), row("1"), row("1"))
    assert [("1", [2]), ("2", [3]), ("DUPLICATE_KEY", [4, 5])] == shown(found)
    assert 'key: "1" is already that of line 2' == details(found)


def test_rows_of_one_order_must_agree_on_all_but_the_item() -> None:
    found = read_csv(row("1"), row("1", customer="c2"), row("2"))
    assert [("INVALID_ROW", [2, 3]), ("2", [4])] == shown(found)
    assert "customer_id differs from line 2, which has the same key (line 3)" == details(found)


def test_an_order_that_is_too_long_is_rejected_whole() -> None:
    found = read_csv(*[row("1")] * (ITEMS_MAX + 2), row("2"))
    assert ["INVALID_ROW", "INVALID_ROW", "2"] == [it[0] for it in shown(found)]
    assert [ITEMS_MAX, 2, 1] == [len(it.rows) for it in found]


@pytest.mark.parametrize(
    ("quantity", "said"),
    [
        ("two", 'quantity: "two" is not a whole number within bounds (line 2)'),
        ("", 'quantity: "" is not a whole number within bounds (line 2)'),
        ("1.5", 'quantity: "1.5" is not a whole number within bounds (line 2)'),
        ("9999999999", 'quantity: "9999999999" is not a whole number within bounds (line 2)'),
        ("9" * 5_000, f'quantity: "{"9" * 40}" is not a whole number within bounds (line 2)'),
    ],
)
def test_a_quantity_that_is_no_number_is_rejected(quantity: str, said: str) -> None:
    assert said == details(read_csv(row("1", quantity=quantity)))


def test_what_is_wrong_with_a_number_is_the_servers_to_say() -> None:
    assert [("1", [2])] == shown(read_csv(row("1", quantity=-1)))


def test_an_empty_key_is_rejected() -> None:
    assert "key: must not be empty" == details(read_csv(row("")))


def test_columns_may_come_in_any_order_and_what_is_optional_be_left_out() -> None:
    header = (
        "country_code,locality,line1,recipient,payment_method,currency_code,"
        "unit_price_minor_units,quantity,sku,customer_id,key"
    )
    (order,) = read_csv("US,SF,1 Market St,Ada,pm,USD,1250,2,BOOK,c1,7", header=header)
    assert isinstance(order, Order)
    assert "spring/7" == order.request.request_id


def test_a_file_of_rejected_rows_can_be_imported_once_it_is_mended() -> None:
    header = f"{HEADER},rejected_line,rejected_reason,rejected_details"
    assert [("1", [2])] == shown(read_csv(f"{row('1')},7,INVALID_ROW,because", header=header))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("key,sku", "it lacks customer_id"),
        (f"{HEADER},colour", "'colour'"),
        (f"{HEADER},sku", "names a column twice"),
        ('"key', "cannot be read"),
    ],
)
def test_a_header_that_cannot_be_used_is_bad_input(header: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_csv(row("1"), header=header)


def test_an_empty_file_is_bad_input() -> None:
    with pytest.raises(BadInput, match="empty"):
        read(b"", Format.CSV)


def test_a_byte_order_mark_and_empty_lines_are_no_rows() -> None:
    data = f"\ufeff{HEADER}\r\n\r\n{row('1')}\r\n\r\n".encode()
    assert [("1", [3])] == shown(read(data, Format.CSV))


def test_a_row_with_too_few_columns_takes_its_order_with_it_and_no_other() -> None:
    found = read_csv(row("1"), row("2"), "2,c1,PEN", row("3"))
    assert [("1", [2]), ("UNREADABLE_ROW", [3, 4]), ("3", [5])] == shown(found)
    assert "14 columns are expected, 3 found (line 4)" == details(found)


def test_a_row_that_is_not_utf_8_is_rejected_alone() -> None:
    found = read_csv(row("1"), row("2", sku="B\udcffOK"), row("3"))
    assert [("1", [2]), ("UNREADABLE_ROW", [3]), ("3", [4])] == shown(found)
    (rejection,) = [it for it in found if isinstance(it, Rejection)]
    assert "B\ufffdOK" == rejection.rows[0].fields["sku"]


def test_a_row_that_nobody_can_read_takes_its_neighbours_with_it() -> None:
    """It may have been an item of either, and an order must not go out without one."""
    found = read_csv(row("1"), row("2"), '"2"x,c1', row("3"), row("4"))
    reasons = ["1", "UNREADABLE_ROW", "UNREADABLE_ROW", "UNREADABLE_ROW", "4"]
    assert reasons == [it[0] for it in shown(found)]


def test_a_quote_that_is_never_closed_says_which_lines_it_took() -> None:
    found = read_csv(row("1"), '"' + row("2"), row("3"))
    assert ["UNREADABLE_ROW", "UNREADABLE_ROW"] == [it[0] for it in shown(found)]
    assert isinstance(found[1], Rejection)
    assert "lines 3 to 4 cannot be told apart" in found[1].details


def test_a_line_without_end_is_cut_short_and_rejected() -> None:
    data = f"{HEADER}\n{'x' * (2 * LINE_BYTES_MAX)}\n{row('1')}\n{row('2')}\n".encode()
    found = read(data, Format.CSV)
    assert ["UNREADABLE_ROW", "UNREADABLE_ROW", "2"] == [it[0] for it in shown(found)]


def line(key: str, **more: object) -> bytes:
    return json.dumps({"key": key, "customer_id": "c1", **more}).encode()


def test_a_json_line_is_an_order() -> None:
    items = [{"sku": "BOOK", "quantity": 2, "unitPrice": {"minorUnits": "1250"}}]
    (order,) = read(line("7", items=items) + b"\n\n", Format.JSONL)
    assert isinstance(order, Order)
    assert "spring/7" == order.request.request_id
    assert 1250 == order.request.items[0].unit_price.minor_units


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (b"{", "UNREADABLE_ROW", "it is not JSON"),
        (b"[]", "UNREADABLE_ROW", "it is not a JSON object"),
        (b"\xff", "UNREADABLE_ROW", "it is not UTF-8"),
        (b"[" * 100_000, "UNREADABLE_ROW", "it is not JSON"),
        (b'{"key": 7}', "UNREADABLE_ROW", "its key is not a string"),
        (b'{"key": "\\ud800"}', "UNREADABLE_ROW", "its key is not a string"),
        (b'{"customer_id": "c1"}', "INVALID_ROW", "key: must not be empty"),
        (line("1", colour="red"), "UNREADABLE_ROW", 'no field named "colour"'),
        (line("1", customerId=7), "UNREADABLE_ROW", "customerId"),
        (line("1", request_id="r"), "UNREADABLE_ROW", "request_id is not the row's to say"),
        (line("1", items=[{"quantity": 2**40}]), "UNREADABLE_ROW", "quantity"),
        (b'{"key":"1","customer_id":"\\ud800"}', "UNREADABLE_ROW", ""),
        (line("x" * LINE_BYTES_MAX), "UNREADABLE_ROW", "longer than 4,194,304 bytes"),
    ],
)
def test_a_json_line_that_is_no_order_is_rejected_alone(
    data: bytes, reason: str, said: str
) -> None:
    found = read(data + b"\n" + line("2"), Format.JSONL)
    assert [(reason, [1]), ("2", [2])] == shown(found)
    assert said in details(found)


def test_a_json_key_that_comes_again_is_rejected() -> None:
    found = read(b"\n".join([line("1"), line("1")]), Format.JSONL)
    assert [("1", [1]), ("DUPLICATE_KEY", [2])] == shown(found)


@given(data=st.binary(max_size=400), format_=st.sampled_from(Format))
def test_no_bytes_whatever_break_the_reading(data: bytes, format_: Format) -> None:
    header = f"{HEADER}\n".encode() if format_ is Format.CSV else b""
    for entry in read(header + data, format_):
        assert entry.rows


@given(keys=st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=12))
def test_every_row_comes_out_once_and_no_key_makes_two_orders(keys: list[str]) -> None:
    found = read_csv(*map(row, keys))
    assert list(range(2, len(keys) + 2)) == [it.line for entry in found for it in entry.rows]
    ordered = [it.key for it in found if isinstance(it, Order)]
    assert len(set(ordered)) == len(ordered)
    assert set(keys) - {""} == set(ordered)
