"""At once: what is promised one after another holds when everything arrives together.

Invariant: each function first makes sure that it holds one after another, or it is `Blocked`. It
must never depend on who wins.
"""

from typing import Final

import grpc

from console.conformance.givens import cancelled, confirmed, got, made, unchanged
from console.conformance.participant import Participant
from console.conformance.promise import Promise, expect, need

_NO: Final = grpc.StatusCode.FAILED_PRECONDITION
_TAKEN: Final = grpc.StatusCode.ALREADY_EXISTS


def _crowd(it: Participant) -> None:
    made(it, it.sample())
    subject = it.fresh_subject()
    request = it.sample(subject=subject)
    sent = [it.send("create", request) for _ in range(it.knobs.at_once)]
    answers = [one.answer() for one in sent]
    answers = [it.create(request) if answer.passing else answer for answer in answers]
    for answer in answers:
        expect(answer.ok, f"one of {len(answers)} same Creates at once: {answer.told}")
    births = {it.entity(answer).create_time.ToNanoseconds() for answer in answers}
    expect(
        len(births) == 1,
        f"{len(answers)} same Creates at once were answered with {len(births)} create_times: more "
        "than one was created",
    )
    listed = it.listed(**{it.kind.subject: subject})
    if listed.ok:
        count = len(it.entities(listed))
        expect(count <= 1, f"{len(answers)} same Creates at once left {count} entities in the list")


def _contents(it: Participant) -> None:
    first, second = it.sample(), it.sample()
    made(it, first)
    setattr(second, it.kind.id_field, it.id_of(first))
    need(it.create(second).code is _TAKEN, "other content is not refused one after the other")
    for _ in range(3):
        one, other = it.sample(), it.sample()
        setattr(other, it.kind.id_field, it.id_of(one))
        crowd = [one, other] * (it.knobs.at_once // 2 or 1)
        sent = [it.send("create", request) for request in crowd]
        answers = [
            it.create(request) if answer.passing else answer
            for request, answer in zip(crowd, [each.answer() for each in sent], strict=True)
        ]
        expect(
            {answer.code for answer in answers} == {grpc.StatusCode.OK, _TAKEN},
            f"two contents under one id at once: {', '.join(sorted({it.told for it in answers}))}; "
            "one must win, the other be ALREADY_EXISTS",
        )
        winners = {
            getattr(it.entity(answer), it.kind.subject) for answer in answers if answer.ok
        } | {getattr(got(it, it.id_of(one)), it.kind.subject)}
        expect(len(winners) == 1, "two contents under one id at once: both were created")


def _create_and_cancel(it: Participant) -> None:
    late = it.sample()
    cancelled(it, it.id_of(late))
    need(it.create(late).code is _NO, "a Create after a Cancel is not refused one after the other")
    before = it.sample()
    made(it, before)
    cancelled(it, it.id_of(before))
    requests = [it.sample() for _ in range(it.knobs.at_once)]
    sent = []
    for number, request in enumerate(requests):
        # Every other Cancel leaves first.
        if number % 2:
            cancel = it.send_cancel(it.id_of(request))
            sent.append((it.send("create", request), cancel))
        else:
            create = it.send("create", request)
            sent.append((create, it.send_cancel(it.id_of(request))))
    for (create, cancel), request in zip(sent, requests, strict=True):
        _expect_gone(it, it.id_of(request), create.answer().told, cancel.answer().passing)


def _confirm_and_cancel(it: Participant) -> None:
    before = it.sample()
    confirmed(it, before)
    cancelled(it, it.id_of(before))
    need(
        it.confirm(it.id_of(before)).code is _NO,
        "a Confirm after a Cancel is not refused one after the other",
    )
    requests = [it.sample() for _ in range(it.knobs.at_once)]
    for request in requests:
        made(it, request)
    confirms = [
        it.send("confirm", it.kind.verbs["confirm"].request(**{it.kind.id_field: it.id_of(one)}))
        for one in requests
    ]
    cancels = [it.send_cancel(it.id_of(request)) for request in requests]
    for confirm, cancel, request in zip(confirms, cancels, requests, strict=True):
        _expect_gone(it, it.id_of(request), confirm.answer().told, cancel.answer().passing)


def _expect_gone(it: Participant, id_: str, told: str, ask_again: bool) -> None:
    """After its Cancel has said OK an entity is CANCELLED, and stays so."""
    if ask_again:
        answer = it.cancel(id_)
        expect(answer.ok, f"sent at once with its Cancel, {told}; then {answer.told}")
    there = it.get(id_)
    expect(
        there.ok and there.state == "CANCELLED",
        f"sent at once with its Cancel, {told}; the Cancel was answered, but {there.told}, not "
        "OK with state CANCELLED",
    )
    expect(
        unchanged(it, id_, it.entity(there)),
        f"sent at once with its Cancel, {told}; it still changed after it was CANCELLED",
    )


PROMISES: Final = (
    Promise(
        name="create-crowd",
        says="the same Create sent many times at once makes one entity",
        means="Repeats do not wait for each other: a slow first one and its repeat overlap.",
        mend="Let a unique key decide, in the transaction that writes; whoever loses reads again.",
        check=_crowd,
    ),
    Promise(
        name="contents-crowd",
        says="two contents under one id at once: one wins, the other is ALREADY_EXISTS",
        means="Whoever was told OK must find what they asked for.",
        mend="Let a unique key decide, and compare the content after the key has.",
        check=_contents,
    ),
    Promise(
        name="create-racing-cancel",
        says="a Create and its Cancel at once: nothing lives on after the Cancel's OK",
        means="This is how an undo meets a call that is still under way; what lives on is an "
        "orphan that costs somebody money.",
        mend="Read, decide and write in one transaction over the version that was read; never "
        "write over a tombstone. Where the outside is being asked, answer ABORTED until it is "
        "known and undone.",
        check=_create_and_cancel,
    ),
    Promise(
        name="confirm-racing-cancel",
        says="a Confirm and a Cancel at once: nothing lives on after the Cancel's OK",
        means="A Confirm may still be under way when its saga turns back.",
        mend="As for create-racing-cancel: one transaction, over the version that was read.",
        check=_confirm_and_cancel,
        kinds=frozenset({"order", "payment"}),
    ),
)
