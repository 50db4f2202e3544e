"""Create: an entity comes into being once, whatever is sent and however often.

Invariant: each function looks at one promise. It must never rest on Confirm or List.
"""

from typing import Final

import grpc

from console.conformance.givens import got, made
from console.conformance.kind import Entity, Request
from console.conformance.participant import Participant
from console.conformance.promise import Blocked, Broken, Promise, expect


def _creates(it: Participant) -> None:
    request = it.sample()
    answer = it.create(request)
    expect(answer.ok, f"a good {answer.told}")
    expect(
        answer.state == it.kind.first_state, f"{answer.told}; it begins as {it.kind.first_state}"
    )
    entity = it.entity(answer)
    _expect_content(it, request, entity)
    expect(
        entity.HasField("create_time") and entity.HasField("update_time"),
        f"{answer.call} answered without create_time or update_time",
    )


def _expect_content(it: Participant, request: Request, entity: Entity) -> None:
    """Everything that was asked for comes back as it was asked for."""
    for field in request.DESCRIPTOR.fields:
        if field.name == it.kind.id_field or field.name not in entity.DESCRIPTOR.fields_by_name:
            continue
        asked, told = getattr(request, field.name), getattr(entity, field.name)
        expect(asked == told, f"{field.name} was {_short(asked)} and came back as {_short(told)}")
    if it.kind.name == "order":
        total = sum(item.quantity * item.unit_price.minor_units for item in request.items)
        expect(
            entity.total.minor_units == total
            and entity.total.currency_code == request.items[0].unit_price.currency_code,
            f"the total of items worth {total} came back as {_short(entity.total)}",
        )


def _short(value: object) -> str:
    text = " ".join(str(value).split()) or "nothing"
    return text if len(text) <= 80 else f"{text[:80]}…"


def _gives_back_the_id(it: Participant) -> None:
    request = it.sample()
    answer = it.create(request)
    expect(answer.ok, f"a good {answer.told}")
    given, back = it.id_of(request), it.id_of(it.entity(answer))
    expect(given == back, f"{answer.call} of {given!r} answered with {back!r}")


def _draws_an_id(it: Participant) -> None:
    drawn = []
    for _ in range(2):
        answer = it.create(it.sample(id_=""))
        expect(answer.ok, f"without an id, {answer.told}")
        drawn.append(it.id_of(it.entity(answer)))
    expect(all(drawn), "a Create without an id was answered without one")
    expect(len(set(drawn)) == 2, f"two Creates without an id were both given {drawn[0]!r}")
    there = it.get(drawn[0])
    expect(there.ok, f"of the id that was drawn, {drawn[0]!r}, {there.told}")


def _same_again(it: Participant) -> None:
    request = it.sample()
    first = made(it, request)
    again = it.create(request)
    expect(again.ok, f"sent again, {again.told}")
    expect(
        it.entity(again) == first,
        f"sent again, {again.told}, but not with the entity that was created",
    )


def _as_it_is_now(it: Participant) -> None:
    request = it.sample()
    made(it, request)
    it.confirm(it.id_of(request))
    now = got(it, it.id_of(request))
    again = it.create(request)
    expect(again.ok, f"sent again after a Confirm, {again.told}")
    expect(
        it.entity(again) == now,
        f"sent again when it was {it.state_of(now)}, {again.told}, but not with the entity "
        "as it is now",
    )


def _other_content(it: Participant) -> None:
    for other in it.kind.others(it.knobs):
        request = it.sample()
        made(it, request)
        before = got(it, it.id_of(request))
        other.make(request)
        answer = it.create(request)
        expect(
            answer.code is grpc.StatusCode.ALREADY_EXISTS,
            f"the same id with {other.says}: {answer.told}, not ALREADY_EXISTS",
        )
        after = got(it, it.id_of(request))
        expect(before == after, f"the same id with {other.says} changed what was there")


def _extremes(it: Participant) -> None:
    sample = it.sample()
    entity = made(it, sample)
    try:
        _expect_content(it, sample, entity)
    except Broken as error:
        raise Blocked(f"of a common Create, {error}") from None
    for extreme in it.kind.extremes(it.knobs):
        request = it.sample()
        extreme.make(request)
        answer = it.create(request)
        expect(answer.ok, f"{extreme.says}: {answer.told}")
        _expect_content(it, request, it.entity(answer))


def _longest_id(it: Participant) -> None:
    id_ = ("A._:-" + it.fresh_id()).ljust(128, "z")
    answer = it.create(it.sample(id_=id_))
    expect(answer.ok, f"an id of 128 characters, {id_[:12]}…: {answer.told}")
    there = it.get(id_)
    expect(there.ok, f"an id of 128 characters was created, but {there.told}")


PROMISES: Final = (
    Promise(
        name="creates",
        says="Create answers the entity in its first state, with all that was asked for",
        means="What the saga goes on with is what the participant says that it stored.",
        mend="Answer Create with the entity as stored: every field of the request, the first "
        "state, create_time and update_time; an order with its total.",
        check=_creates,
    ),
    Promise(
        name="gives-back-the-id",
        says="Create answers with the id that was given",
        means="The id is the idempotency key: whoever sent it must find the entity under it.",
        mend="Use the id of the request wherever it is not empty; never draw another.",
        check=_gives_back_the_id,
    ),
    Promise(
        name="draws-an-id",
        says="Create without an id draws one, a new one each time, and answers with it",
        means="People who try the service by hand need no id.",
        mend="Draw an unguessable id (a UUID will do) where the request's is empty, store the "
        "entity under it and answer with it.",
        check=_draws_an_id,
    ),
    Promise(
        name="same-create-again",
        says="the same Create again answers the entity and changes nothing",
        means="A saga repeats a Create whose answer was lost; the second must be no second effect.",
        mend="Look the id up before creating; where it is known with the same content, answer "
        "what is stored, update_time included.",
        check=_same_again,
    ),
    Promise(
        name="create-as-it-is-now",
        says="the same Create after a Confirm answers the entity as it is now",
        means="A Create that was delivered twice may arrive late; it must neither fail nor set "
        "the entity back.",
        mend="Compare with the content alone, not with the state, and never write where the id is "
        "known.",
        check=_as_it_is_now,
        kinds=frozenset({"order", "payment"}),
    ),
    Promise(
        name="other-content-refused",
        says="a known id with other content is ALREADY_EXISTS, and nothing changes",
        means="Two different wishes under one id are a mistake of the caller; overwriting would "
        "lose one of them silently.",
        mend="Store the content of the Create and compare all of it with what is sent.",
        check=_other_content,
    ),
    Promise(
        name="limits-are-reached",
        says="what the contract only just allows is taken, and comes back whole",
        means="A narrower column than the contract's limit cuts or refuses somebody's real data.",
        mend="Make room for the limits in the proto comments; count characters, not bytes.",
        check=_extremes,
    ),
    Promise(
        name="longest-id",
        says="an id of 128 characters, with . _ : and - in it, is an id",
        means="Ids are the callers'; another orchestrator draws others than ours.",
        mend="Store ids as text of up to 128 characters.",
        check=_longest_id,
    ),
)
