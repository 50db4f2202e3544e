"""Confirm: a transition, made once.

Invariant: each function looks at one promise. It must never ask for a refusal: `refusing` does.
"""

from typing import Final

import grpc

from console.conformance.givens import cancelled, confirmed, made
from console.conformance.participant import Participant
from console.conformance.promise import Promise, expect

_KINDS: Final = frozenset({"order", "payment"})


def _confirms(it: Participant) -> None:
    request = it.sample()
    made(it, request)
    answer = it.confirm(it.id_of(request))
    expect(
        answer.ok and answer.state == "CONFIRMED",
        f"of a {it.kind.first_state} one, {answer.told}, not OK with state CONFIRMED",
    )
    there = it.get(it.id_of(request))
    expect(
        there.ok and it.entity(there) == it.entity(answer),
        f"after {answer.told}, {there.told}, but not with the same entity",
    )


def _again(it: Participant) -> None:
    request = it.sample()
    first = confirmed(it, request)
    again = it.confirm(it.id_of(request))
    expect(again.ok, f"sent again, {again.told}")
    expect(it.entity(again) == first, f"sent again, {again.told}, but the entity has changed")


def _unknown(it: Participant) -> None:
    id_ = it.fresh_id()
    answer = it.confirm(id_)
    expect(
        answer.code is grpc.StatusCode.NOT_FOUND,
        f"of an id never seen, {answer.told}, not NOT_FOUND",
    )
    there = it.get(id_)
    expect(
        there.code is grpc.StatusCode.NOT_FOUND,
        f"after a Confirm of an id never seen, {there.told}, not NOT_FOUND",
    )


def _cancelled(it: Participant) -> None:
    for before in (made, confirmed):
        request = it.sample()
        before(it, request)
        cancelled(it, it.id_of(request))
        answer = it.confirm(it.id_of(request))
        expect(
            answer.code is grpc.StatusCode.FAILED_PRECONDITION,
            f"of a CANCELLED one, {answer.told}, not FAILED_PRECONDITION",
        )
        there = it.get(it.id_of(request))
        expect(
            there.ok and there.state == "CANCELLED",
            f"after a Confirm of a CANCELLED one, {there.told}",
        )


PROMISES: Final = (
    Promise(
        name="confirms",
        says="Confirm makes a new entity CONFIRMED",
        means="It is the step that the saga cannot do without.",
        mend="Store the new state, then answer with the entity as stored.",
        check=_confirms,
        kinds=_KINDS,
    ),
    Promise(
        name="same-confirm-again",
        says="Confirm of a CONFIRMED entity answers it as it is",
        means="A saga repeats a Confirm whose answer was lost; money must not be taken twice.",
        mend="Treat Confirm as a transition: already there is OK, with nothing written.",
        check=_again,
        kinds=_KINDS,
    ),
    Promise(
        name="confirm-of-unknown",
        says="Confirm of an unknown id is NOT_FOUND and leaves nothing behind",
        means="A saga confirms only what it created; anything else is a mistake to be told.",
        mend="Never create in Confirm.",
        check=_unknown,
        kinds=_KINDS,
    ),
    Promise(
        name="confirm-after-cancel",
        says="Confirm after Cancel is FAILED_PRECONDITION, and it stays CANCELLED",
        means="A Confirm delivered late, after the undo, must not bring an effect back.",
        mend="Let nothing leave the state CANCELLED.",
        check=_cancelled,
        kinds=_KINDS,
    ),
)
