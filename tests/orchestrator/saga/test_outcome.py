"""The tables, held against the contract as it is written down."""

import grpc
import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.outcome import (
    OUTCOMES,
    STEP_SEQUELS,
    UNDO_SEQUELS,
    Outcome,
    Sequel,
    sequel_of,
)

GRPC = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


def test_the_codes_are_those_of_grpc() -> None:
    assert list(enumerate(GRPC)) == [(code.value, code.name) for code in Code]


def test_the_codes_are_those_of_the_library() -> None:
    assert {code.name: code.value[0] for code in grpc.StatusCode} == {
        code.name: code.value for code in Code
    }


def test_every_code_has_an_outcome_and_every_outcome_a_sequel() -> None:
    assert set(Code) == set(OUTCOMES)
    assert set(Outcome) == set(OUTCOMES.values())
    assert set(Outcome) == set(STEP_SEQUELS)
    assert set(Outcome) == set(UNDO_SEQUELS)


@pytest.mark.parametrize(
    ("codes", "outcome", "step", "undo"),
    [
        ("OK", Outcome.SUCCEEDED, Sequel.GO_ON, Sequel.GO_ON),
        (
            "INVALID_ARGUMENT NOT_FOUND ALREADY_EXISTS FAILED_PRECONDITION OUT_OF_RANGE",
            Outcome.REJECTED,
            Sequel.TURN_BACK,
            Sequel.PARK,
        ),
        (
            "PERMISSION_DENIED UNAUTHENTICATED UNIMPLEMENTED",
            Outcome.BARRED,
            Sequel.TURN_BACK,
            Sequel.TRY_AGAIN,
        ),
        ("ABORTED RESOURCE_EXHAUSTED", Outcome.REFUSED, Sequel.TRY_AGAIN, Sequel.TRY_AGAIN),
        (
            "UNAVAILABLE DEADLINE_EXCEEDED CANCELLED UNKNOWN INTERNAL DATA_LOSS",
            Outcome.UNKNOWN,
            Sequel.TRY_AGAIN,
            Sequel.TRY_AGAIN,
        ),
    ],
)
def test_each_code_leads_where_the_contract_says(
    codes: str, outcome: Outcome, step: Sequel, undo: Sequel
) -> None:
    for name in codes.split():
        code = Code[name]
        assert outcome is OUTCOMES[code]
        assert step is sequel_of(code, undo=False)
        assert undo is sequel_of(code, undo=True)
