import grpc
import pytest

from chassis.faults import (
    CODES,
    Fault,
    Invalid,
    NotFound,
    Rejected,
    Violation,
    code_of,
)


def test_every_kind_of_fault_has_a_code() -> None:
    assert set(Fault.__subclasses__()) >= set(CODES)
    assert {it.__name__ for it in CODES} == {
        "Invalid",
        "NotFound",
        "Conflict",
        "Rejected",
        "Refused",
        "Overloaded",
        "Unavailable",
        "Defect",
    }


def test_no_two_kinds_of_fault_share_a_code() -> None:
    assert len(set(CODES.values())) == len(CODES)


def test_a_kind_of_ones_own_has_the_code_of_the_kind_it_is_of() -> None:
    class Declined(Rejected):
        """A payment was."""

    assert code_of(Declined("PAYMENT_DECLINED", "no")) is grpc.StatusCode.FAILED_PRECONDITION


def test_a_fault_of_no_kind_is_a_defect() -> None:
    assert code_of(Fault("SOMETHING", "went wrong")) is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("reason", ["", "not_upper", "HAS SPACE", "1ST", "A" * 64, "ENDS\n"])
def test_a_reason_that_no_machine_should_read_is_a_programmers_error(reason: str) -> None:
    with pytest.raises(AssertionError):
        NotFound(reason, "no such order")


def test_an_invalid_request_tells_all_that_is_wrong_with_it() -> None:
    fault = Invalid(
        [
            Violation(field="items[0].sku", description="is required"),
            Violation(field="customer_id", description="must not be blank"),
        ]
    )
    assert fault.reason == "INVALID_REQUEST"
    assert fault.message == "items[0].sku is required; customer_id must not be blank"
    assert str(fault) == f"INVALID_REQUEST: {fault.message}"


def test_an_invalid_request_with_very_much_wrong_counts_the_rest() -> None:
    fault = Invalid([Violation(field=f"items[{n}]", description="is bad") for n in range(25)])
    assert fault.message.endswith("items[19] is bad; and 5 more")
    assert len(fault.violations) == 25


def test_an_invalid_request_without_a_violation_is_a_programmers_error() -> None:
    with pytest.raises(AssertionError):
        Invalid([])
