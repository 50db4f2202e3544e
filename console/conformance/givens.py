"""What a promise starts from: an entity that was created, confirmed, refused or cancelled.

Invariant: where a beginning cannot be had the promise is `Blocked`, never broken: another one is
about that. It must never be used for the very thing that a promise is about.
"""

import grpc

from console.conformance.answer import Answer
from console.conformance.kind import Entity, Request
from console.conformance.knobs import flag
from console.conformance.participant import Participant
from console.conformance.promise import have, need


def made(it: Participant, request: Request) -> Entity:
    """A new entity."""
    answer = it.create(request)
    need(answer.ok, f"a good {answer.told}")
    entity = it.entity(answer)
    need(
        it.id_of(entity) == it.id_of(request),
        f"{answer.call} of {it.id_of(request)!r} answered with {it.id_of(entity)!r}",
    )
    return entity


def confirmed(it: Participant, request: Request) -> Entity:
    """A new entity that was confirmed."""
    made(it, request)
    answer = it.confirm(it.id_of(request))
    need(answer.ok, f"after a Create, {answer.told}")
    return it.entity(answer)


def cancelled(it: Participant, id_: str) -> Entity:
    """An entity that was cancelled, and stays so."""
    answer = it.cancel(id_)
    need(answer.ok, answer.told)
    again = it.get(id_)
    need(again.ok and again.state == "CANCELLED", f"after a Cancel, {again.told}")
    return it.entity(again)


def refused_request(it: Participant) -> Request:
    """A Create that is refused for good. Not sent yet."""
    have(
        getattr(it.knobs, it.kind.refusal_knob) if it.kind.refusal_knob else "",
        flag(it.kind.refusal_knob),
    )
    variant = it.kind.refused(it.knobs)
    assert variant is not None, "the knob says that there is one"
    request = it.sample()
    variant.make(request)
    return request


def refused(it: Participant, request: Request) -> Answer:
    """The refusal of a Create, which was stored."""
    answer = it.create(request)
    need(
        answer.code is grpc.StatusCode.FAILED_PRECONDITION,
        f"a Create that is to be refused: {answer.told}",
    )
    there = it.get(it.id_of(request))
    need(
        there.ok and there.state == it.kind.refused_state,
        f"after a Create that was refused, {there.told}",
    )
    return answer


def unchanged(it: Participant, id_: str, before: Entity) -> bool:
    """Whether Get still answers with exactly this."""
    now = it.get(id_)
    return now.ok and bool(it.entity(now) == before)


def got(it: Participant, id_: str) -> Entity:
    """The entity as Get answers it."""
    answer = it.get(id_)
    need(answer.ok, answer.told)
    return it.entity(answer)
