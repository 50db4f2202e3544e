"""Refusals: a no stays a no.

Invariant: each function looks at one promise. It must never care for what reason there was a no:
`faults` does.
"""

from typing import Final

import grpc

from console.conformance.givens import made, refused, refused_request
from console.conformance.knobs import flag
from console.conformance.participant import Participant
from console.conformance.promise import Promise, expect, have

_REFUSING: Final = frozenset({"payment", "delivery"})
_CONFIRMING: Final = frozenset({"payment"})
_NO: Final = grpc.StatusCode.FAILED_PRECONDITION


def _is_stored(it: Participant) -> None:
    request = refused_request(it)
    answer = it.create(request)
    expect(answer.code is _NO, f"{answer.told}, not {_NO.name}")
    there = it.get(it.id_of(request))
    expect(
        there.ok and there.state == it.kind.refused_state,
        f"after a refused Create, {there.told}, not OK with state {it.kind.refused_state}",
    )
    reason = getattr(it.entity(there), it.kind.refused_field)
    expect(bool(reason), f"the entity is {there.state}, but its {it.kind.refused_field} is empty")


def _same_again(it: Participant) -> None:
    request = refused_request(it)
    first = refused(it, request)
    again = it.create(request)
    expect(
        (again.code, again.reason) == (first.code, first.reason),
        f"first {first.told}; sent again, {again.told}",
    )


def _other_content(it: Participant) -> None:
    request = refused_request(it)
    refused(it, request)
    accepted = it.sample(id_=it.id_of(request))
    answer = it.create(accepted)
    expect(
        answer.code is grpc.StatusCode.ALREADY_EXISTS,
        f"the id of a refused Create with content that would be taken: {answer.told}, "
        "not ALREADY_EXISTS",
    )


def _confirm(it: Participant) -> None:
    request = refused_request(it)
    refused(it, request)
    answer = it.confirm(it.id_of(request))
    expect(answer.code is _NO, f"of a {it.kind.refused_state} one, {answer.told}, not {_NO.name}")
    there = it.get(it.id_of(request))
    expect(
        there.ok and there.state == it.kind.refused_state,
        f"after a Confirm of a {it.kind.refused_state} one, {there.told}",
    )


def _declined_confirm(it: Participant) -> None:
    method = it.knobs.confirm_declined_method
    have(method, flag("confirm_declined_method"))
    request = it.sample()
    request.payment_method = method
    made(it, request)
    first = it.confirm(it.id_of(request))
    expect(first.code is _NO, f"with {method}, {first.told}, not {_NO.name}")
    again = it.confirm(it.id_of(request))
    expect(
        (again.code, again.reason) == (first.code, first.reason),
        f"first {first.told}; sent again, {again.told}",
    )
    there = it.get(it.id_of(request))
    expect(
        there.ok and there.state == "HELD" and bool(it.entity(there).decline_reason),
        f"after a declined Confirm, {there.told}, not OK with state HELD and a decline_reason",
    )


PROMISES: Final = (
    Promise(
        name="refusal-is-stored",
        says="a refused Create is FAILED_PRECONDITION, and Get shows it refused, and why",
        means="The refusal is what the saga turns back on; somebody will ask why.",
        mend="Store the refused entity, with its reason, in the transaction that refuses it.",
        check=_is_stored,
        kinds=_REFUSING,
    ),
    Promise(
        name="refusal-is-repeated",
        says="a refused Create sent again gets the same refusal",
        means="The saga has undone its steps on the first answer; a yes on the second would be an "
        "effect that nobody undoes.",
        mend="Answer a known id from what is stored; never ask the outside world again.",
        check=_same_again,
        kinds=_REFUSING,
    ),
    Promise(
        name="refused-id-is-taken",
        says="the id of a refused Create is ALREADY_EXISTS with other content",
        means="An id stands for one wish, also where the answer to it was no.",
        mend="Keep the content of a refused Create and compare it as that of any other.",
        check=_other_content,
        kinds=_REFUSING,
    ),
    Promise(
        name="confirm-of-refused",
        says="Confirm of a refused entity is FAILED_PRECONDITION and changes nothing",
        means="Nothing is held, so nothing can be taken.",
        mend="Let Confirm begin only where there is a hold.",
        check=_confirm,
        kinds=_CONFIRMING,
    ),
    Promise(
        name="declined-confirm",
        says="a Confirm that is declined stays declined, and the amount stays held",
        means="The saga cancels the payment next; a late yes would take money for nothing.",
        mend="Store the decline of a capture; answer later Confirms from it.",
        check=_declined_confirm,
        kinds=_CONFIRMING,
    ),
)
