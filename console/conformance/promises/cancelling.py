"""Cancel: the undo, which always succeeds and is for good.

Invariant: each function looks at one promise. It must never race: `racing` does.
"""

from typing import Final

import grpc

from console.conformance.givens import (
    cancelled,
    confirmed,
    made,
    refused,
    refused_request,
)
from console.conformance.kind import Entity, Request
from console.conformance.participant import Participant
from console.conformance.promise import Promise, expect, need

_NO: Final = grpc.StatusCode.FAILED_PRECONDITION
_RELEASES: Final = {0: "UNSPECIFIED", 1: "VOIDED", 2: "REFUNDED"}


def _expect_cancelled(it: Participant, id_: str, before: str) -> Entity:
    answer = it.cancel(id_)
    expect(
        answer.ok and answer.state == "CANCELLED",
        f"of {before}, {answer.told}, not OK with state CANCELLED",
    )
    there = it.get(id_)
    expect(
        there.ok and there.state == "CANCELLED",
        f"after a Cancel of {before}, {there.told}, not OK with state CANCELLED",
    )
    return it.entity(there)


def _unknown(it: Participant) -> None:
    id_ = it.fresh_id()
    entity = _expect_cancelled(it, id_, "an id never seen")
    expect(it.id_of(entity) == id_, f"the tombstone of {id_!r} has the id {it.id_of(entity)!r}")


def _new(it: Participant) -> None:
    request = it.sample()
    made(it, request)
    _expect_cancelled(it, it.id_of(request), f"a {it.kind.first_state} one")


def _confirmed(it: Participant) -> None:
    request = it.sample()
    confirmed(it, request)
    _expect_cancelled(it, it.id_of(request), "a CONFIRMED one")


def _release(it: Participant) -> None:
    for before, wanted in ((made, "VOIDED"), (confirmed, "REFUNDED")):
        request = it.sample()
        state = it.state_of(before(it, request))
        release = cancelled(it, it.id_of(request)).release
        told = _RELEASES.get(release, str(release))
        expect(told == wanted, f"after a Cancel of a {state} one, release is {told}, not {wanted}")


def _refused(it: Participant) -> None:
    request = refused_request(it)
    refused(it, request)
    state = it.kind.refused_state
    for time in ("the first time", "the second time"):
        answer = it.cancel(it.id_of(request))
        expect(
            answer.ok and answer.state == state,
            f"of a {state} one, {time}, {answer.told}, not OK with state {state}",
        )
    there = it.get(it.id_of(request))
    expect(there.ok and there.state == state, f"after a Cancel of a {state} one, {there.told}")


def _again(it: Participant) -> None:
    request = it.sample()
    made(it, request)
    for id_, what in (
        (it.id_of(request), "a CANCELLED one"),
        (it.fresh_id(), "a tombstone"),
    ):
        cancelled(it, id_)
        first = it.cancel(id_)
        need(first.ok and first.state == "CANCELLED", first.told)
        again = it.cancel(id_)
        expect(again.ok, f"of {what}, {again.told}")
        expect(
            it.entity(again) == it.entity(first),
            f"of {what}, {again.told}, but the entity has changed",
        )


def _create_late(it: Participant) -> None:
    request = it.sample()
    cancelled(it, it.id_of(request))
    _expect_refused(it, request, "of an id that was cancelled before")


def _create_again(it: Participant) -> None:
    request = it.sample()
    made(it, request)
    cancelled(it, it.id_of(request))
    _expect_refused(it, request, "of one that was created and cancelled")
    other = it.kind.others(it.knobs)[0]
    other.make(request)
    _expect_refused(it, request, f"of a cancelled one, with {other.says}")


def _expect_refused(it: Participant, request: Request, what: str) -> None:
    answer = it.create(request)
    expect(answer.code is _NO, f"{what}, {answer.told}, not {_NO.name}")
    there = it.get(it.id_of(request))
    expect(
        there.ok and there.state == "CANCELLED",
        f"after a Create {what}, {there.told}, not OK with state CANCELLED",
    )


PROMISES: Final = (
    Promise(
        name="cancel-leaves-tombstone",
        says="Cancel of an unknown id succeeds and leaves a CANCELLED tombstone",
        means="A saga undoes a step whose answer it never got; the Create may not have arrived "
        "yet, or never will.",
        mend="Where Cancel finds no row, write a CANCELLED one in the same transaction.",
        check=_unknown,
    ),
    Promise(
        name="create-after-tombstone",
        says="a Create that arrives after the Cancel is FAILED_PRECONDITION",
        means="Otherwise the late Create makes an effect that nobody undoes any more.",
        mend="Look the id up before creating; refuse what is CANCELLED.",
        check=_create_late,
    ),
    Promise(
        name="create-after-cancel",
        says="Create of a cancelled entity, with any content, is FAILED_PRECONDITION",
        means="A Create that was delivered twice must not revive what was undone.",
        mend="Look at the state before the content: CANCELLED is refused whatever is sent.",
        check=_create_again,
    ),
    Promise(
        name="cancel-of-new",
        says="Cancel of a new entity makes it CANCELLED",
        means="It is the undo of the step that the saga has done.",
        mend="Store the state CANCELLED, then answer with the entity as stored.",
        check=_new,
    ),
    Promise(
        name="cancel-of-confirmed",
        says="Cancel of a CONFIRMED entity makes it CANCELLED",
        means="A delivery can fail after the money was taken; then all of it is given back.",
        mend="Allow Cancel from every state.",
        check=_confirmed,
        kinds=frozenset({"order", "payment"}),
    ),
    Promise(
        name="cancel-of-refused",
        says="Cancel of a refused entity succeeds, and it stays as it is",
        means="A saga may not know that it was refused; an undo that fails parks the process.",
        mend="Answer Cancel with what is stored where there is nothing to undo; never an error.",
        check=_refused,
        kinds=frozenset({"payment", "delivery"}),
    ),
    Promise(
        name="same-cancel-again",
        says="Cancel of a CANCELLED entity, or of a tombstone, answers it as it is",
        means="Undos are repeated until they are answered.",
        mend="Treat Cancel as a transition: already there is OK, with nothing written.",
        check=_again,
    ),
    Promise(
        name="release-is-told",
        says="a cancelled payment says what became of the money: VOIDED or REFUNDED",
        means="A hold that was dropped and a charge that was given back are not the same to the "
        "people who keep the books.",
        mend="Store in `release` what the gateway did.",
        check=_release,
        kinds=frozenset({"payment"}),
    ),
)
