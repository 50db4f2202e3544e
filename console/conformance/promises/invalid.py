"""Mistakes in requests: refused, named, and without a trace.

Invariant: each mistake is made in a request that is good otherwise. It must never rest on how a
mistake is described: only its field counts.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import grpc

from console.conformance.answer import Answer
from console.conformance.givens import made
from console.conformance.kind import Mistake
from console.conformance.participant import Participant
from console.conformance.promise import Promise, expect, need

_WRONG: Final = grpc.StatusCode.INVALID_ARGUMENT
_NAMED_MAX: Final = 5


def _refused(it: Participant) -> None:
    made(it, it.sample())
    taken = []
    for mistake in it.kind.mistakes(it.knobs):
        request = it.sample()
        mistake.make(request)
        answer = it.create(request)
        if answer.code is not _WRONG:
            taken.append(f"{mistake.says} ({answer.code.name})")
    taken += [
        f"{answer.call}: {says} ({answer.code.name})"
        for says, answer in _wrong_ids(it)
        if answer.code is not _WRONG
    ]
    expect(not taken, f"not refused as INVALID_ARGUMENT: {_some(taken)}")


def _wrong_ids(it: Participant) -> Iterator[tuple[str, Answer]]:
    for verb in it.kind.verbs:
        if verb not in {"create", "list"}:
            yield f"no {it.kind.id_field}", it.once(verb, "")
            yield f"{it.kind.id_field} '-a'", it.once(verb, "-a")


def _named(it: Participant) -> None:
    looked_at = 0
    unnamed = []
    for mistake in it.kind.mistakes(it.knobs):
        request = it.sample()
        mistake.make(request)
        answer = it.create(request)
        if answer.code is _WRONG and mistake.field:
            looked_at += 1
            if not mistake.named_by(answer.fields or ()):
                unnamed.append(f"{mistake.says} (named: {_some(answer.fields or ())})")
    for says, answer in _wrong_ids(it):
        if answer.code is _WRONG and it.kind.id_field not in (answer.fields or ()):
            unnamed.append(f"{answer.call}: {says} (named: {_some(answer.fields or ())})")
    need(looked_at > 0, "no mistake is refused as INVALID_ARGUMENT")
    expect(not unnamed, f"google.rpc.BadRequest does not name the field of {_some(unnamed)}")


def _all_named(it: Participant) -> None:
    mistakes = _compatible(it.kind.mistakes(it.knobs))
    request = it.sample()
    for mistake in mistakes:
        alone = it.sample()
        mistake.make(alone)
        answer = it.create(alone)
        need(answer.code is _WRONG, f"{mistake.says}: {answer.told}")
        need(
            mistake.named_by(answer.fields or ()),
            f"{mistake.says}: not named even when it is alone",
        )
        mistake.make(request)
    answer = it.create(request)
    need(answer.code is _WRONG, f"with {len(mistakes)} mistakes, {answer.told}")
    unnamed = [it.field for it in mistakes if not it.named_by(answer.fields or ())]
    expect(
        not unnamed,
        f"of {len(mistakes)} mistakes in one request, google.rpc.BadRequest does not name "
        f"{_some(unnamed)} (named: {_some(answer.fields or ())})",
    )


def _compatible(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """One mistake for each field that can be wrong together with all the others."""
    first = {mistake.field: mistake for mistake in reversed(mistakes) if mistake.field}
    return [
        mistake
        for field, mistake in first.items()
        # A message or a list that is wrong as a whole leaves no room for what is wrong inside.
        if not any(other.startswith((f"{field}.", f"{field}[")) for other in first)
    ]


def _stored(it: Participant) -> None:
    made(it, it.sample())
    id_ = ""
    for mistake in it.kind.mistakes(it.knobs):
        subject = it.fresh_subject()
        request = it.sample(subject=subject)
        id_ = it.id_of(request)
        mistake.make(request)
        if it.create(request).code is not _WRONG:
            # Whether it is a mistake is the matter of another promise.
            continue
        there = it.get(id_)
        expect(
            there.code is grpc.StatusCode.NOT_FOUND,
            f"after INVALID_ARGUMENT for {mistake.says}, {there.told}, not NOT_FOUND",
        )
        if mistake.field == it.kind.id_field:
            listed = it.listed(**{it.kind.subject: subject})
            expect(
                not listed.ok or not it.entities(listed),
                f"after INVALID_ARGUMENT for {mistake.says}, the list has an entity",
            )
    # The last id is free: it was never taken.
    good = it.sample(id_=id_)
    answer = it.create(good)
    expect(answer.ok, f"of an id that INVALID_ARGUMENT was answered for, a good {answer.told}")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_MAX]) or "nothing"
    more = len(names) - _NAMED_MAX
    return f"{shown}, and {more} more" if more > 0 else shown


PROMISES: Final = (
    Promise(
        name="mistakes-are-refused",
        says="what the contract's comments forbid is INVALID_ARGUMENT",
        means="INVALID_ARGUMENT says: this will never work, mend it before you send it again.",
        mend="Check every field against the comments of the proto before anything else is done.",
        check=_refused,
    ),
    Promise(
        name="mistakes-are-named",
        says="google.rpc.BadRequest names the field that is wrong, by its path",
        means="Whoever reads it wants to mark the field in a form, not parse a sentence.",
        mend="Put a google.rpc.BadRequest into the details of every INVALID_ARGUMENT; paths are "
        'field names with dots and indexes, for example "items[0].unit_price.currency_code".',
        check=_named,
    ),
    Promise(
        name="all-mistakes-are-named",
        says="google.rpc.BadRequest names every field that is wrong, not the first alone",
        means="People mend a request once, not once for each mistake in it.",
        mend="Collect the violations of all fields before answering.",
        check=_all_named,
    ),
    Promise(
        name="mistakes-leave-nothing",
        says="after INVALID_ARGUMENT nothing is stored, and the id is free",
        means="The request is mended and sent again, often under the same id.",
        mend="Check everything before the transaction begins.",
        check=_stored,
    ),
)
