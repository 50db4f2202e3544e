"""List: everything, newest first, a page at a time.

Invariant: every list is narrowed to a subject of its own, so whatever else a participant holds is
left aside. It must never take two entities of one create_time for ordered.
"""

from collections.abc import Sequence
from typing import Final

import grpc

from console.conformance.givens import cancelled, got, made
from console.conformance.kind import Entity
from console.conformance.participant import Participant
from console.conformance.promise import Promise, expect, need

_WRONG: Final = grpc.StatusCode.INVALID_ARGUMENT
_MANY: Final = 5
_PAGES_MAX: Final = 10


def _several(it: Participant, subject: str, count: int = _MANY) -> list[Entity]:
    """New entities of one subject, oldest first."""
    return [made(it, it.sample(subject=subject)) for _ in range(count)]


def _ids(it: Participant, entities: Sequence[Entity]) -> list[str]:
    return [it.id_of(entity) for entity in entities]


def _complete(it: Participant) -> None:
    subject = it.fresh_subject()
    wanted = _ids(it, _several(it, subject))
    answer = it.listed(**{it.kind.subject: subject})
    expect(answer.ok, answer.told)
    listed = _ids(it, it.entities(answer))
    expect(
        sorted(listed) == sorted(wanted),
        f"of {len(wanted)} that were created, {answer.call} shows {len(set(listed) & set(wanted))}"
        f", and {len(set(listed) - set(wanted))} others",
    )
    for entity in it.entities(answer):
        there = got(it, it.id_of(entity))
        for field in it.kind.list_leaves_out:
            there.ClearField(field)
            entity.ClearField(field)
        expect(entity == there, f"{answer.call} shows {it.id_of(entity)} other than Get does")


def _newest_first(it: Participant) -> None:
    subject = it.fresh_subject()
    _several(it, subject)
    answer = it.listed(**{it.kind.subject: subject})
    need(answer.ok, answer.told)
    births = [entity.create_time.ToNanoseconds() for entity in it.entities(answer)]
    need(len(set(births)) > 1, "all were created at the same time, or none is listed")
    expect(births == sorted(births, reverse=True), "the list is not in order of create_time")


def _pages(it: Participant) -> None:
    subject = it.fresh_subject()
    wanted = _ids(it, _several(it, subject))
    whole = it.listed(**{it.kind.subject: subject})
    need(whole.ok and len(it.entities(whole)) == len(wanted), whole.told)
    seen: list[str] = []
    token = ""
    for number in range(_PAGES_MAX):
        answer = it.listed(page_size=2, page_token=token, **{it.kind.subject: subject})
        expect(answer.ok, f"page {number + 1}: {answer.told}")
        page = _ids(it, it.entities(answer))
        expect(len(page) <= 2, f"a page of 2 has {len(page)}")
        seen += page
        token = answer.reply.next_page_token
        if not token:
            break
        if number == 0:
            # Somebody creates one while the pages are read.
            made(it, it.sample(subject=subject))
    expect(not token, f"{_PAGES_MAX} pages of 2 do not end, with {len(wanted)} to list")
    for id_ in wanted:
        times = seen.count(id_)
        expect(
            times == 1,
            f"page by page, while another is created, one of {len(wanted)} is shown {times} times",
        )


def _filters(it: Participant) -> None:
    subject = it.fresh_subject()
    live, gone = _ids(it, _several(it, subject, 2))
    cancelled(it, gone)
    states = it.kind.states
    first, cancel = states[it.kind.first_state], states["CANCELLED"]
    for chosen, wanted in (([first], {live}), ([cancel], {gone}), ([first, cancel], {live, gone})):
        answer = it.listed(states=chosen, **{it.kind.subject: subject})
        expect(answer.ok, answer.told)
        listed = set(_ids(it, it.entities(answer)))
        expect(
            listed == wanted,
            f"states {chosen} shows {len(listed)} of 1 {it.kind.first_state} and 1 CANCELLED",
        )
    other = it.listed(**{it.kind.subject: it.fresh_subject()})
    expect(
        other.ok and not it.entities(other),
        f"{it.kind.subject} of nobody: {other.told}, {len(it.entities(other)) if other.ok else 0} "
        "listed",
    )


def _times(it: Participant) -> None:
    subject = it.fresh_subject()
    older, *_, newer = _several(it, subject)
    need(
        older.create_time.ToNanoseconds() < newer.create_time.ToNanoseconds(),
        "five, one after the other, were created at the same time",
    )
    limit = newer.create_time
    after = it.listed(create_time_after=limit, **{it.kind.subject: subject})
    before = it.listed(create_time_before=limit, **{it.kind.subject: subject})
    expect(after.ok and before.ok, f"{after.told}, {before.told}")
    late, early = _ids(it, it.entities(after)), _ids(it, it.entities(before))
    expect(
        it.id_of(newer) in late and it.id_of(older) not in late,
        "create_time_after does not show those created at that time or later, and no others",
    )
    expect(
        it.id_of(older) in early and it.id_of(newer) not in early,
        "create_time_before does not show those created before that time, and no others",
    )


def _tokens(it: Participant) -> None:
    subject = it.fresh_subject()
    _several(it, subject, 3)
    first = it.listed(page_size=1, **{it.kind.subject: subject})
    need(first.ok and bool(first.reply.next_page_token), f"{first.told}, without a next_page_token")
    token = first.reply.next_page_token
    state = it.kind.states[it.kind.first_state]
    for says, fields in (
        (f"another {it.kind.subject}", {it.kind.subject: it.fresh_subject()}),
        ("states added", {it.kind.subject: subject, "states": [state]}),
        ("no filter", {}),
    ):
        answer = it.listed(page_size=1, page_token=token, **fields)
        expect(answer.code is _WRONG, f"a token with {says}: {answer.told}, not INVALID_ARGUMENT")


def _forged(it: Participant) -> None:
    subject = it.fresh_subject()
    _several(it, subject, 2)
    for token in ("not-a-token", "1", "é" * 600):
        answer = it.listed(page_size=1, page_token=token, **{it.kind.subject: subject})
        expect(
            answer.code is _WRONG,
            f"the made-up token {token[:12]!r}: {answer.told}, not INVALID_ARGUMENT",
        )


def _sizes(it: Participant) -> None:
    subject = it.fresh_subject()
    _several(it, subject, 2)
    negative = it.listed(page_size=-1, **{it.kind.subject: subject})
    expect(negative.code is _WRONG, f"page_size -1: {negative.told}, not INVALID_ARGUMENT")
    for size in (0, 2, 1_000, 100_000):
        answer = it.listed(page_size=size, **{it.kind.subject: subject})
        expect(answer.ok, f"page_size {size}: {answer.told}")
        listed = len(it.entities(answer))
        expect(listed == 2, f"page_size {size} shows {listed} of 2")


def _without_items(it: Participant) -> None:
    subject = it.fresh_subject()
    _several(it, subject, 1)
    answer = it.listed(**{it.kind.subject: subject})
    need(answer.ok, answer.told)
    expect(not any(order.items for order in it.entities(answer)), "the list has items")


PROMISES: Final = (
    Promise(
        name="list-is-complete",
        says="List shows every entity of a subject, and each as Get does",
        means="The audit compares what the saga log says with what List shows.",
        mend="List from the same table that Get reads.",
        check=_complete,
    ),
    Promise(
        name="newest-first",
        says="List shows the newest first",
        means="Who looks at a list wants what just happened, and the audit stops at an age.",
        mend="Order by create_time, then by id, both descending.",
        check=_newest_first,
    ),
    Promise(
        name="pages",
        says="pages follow each other without a gap or a repeat, whatever is created meanwhile",
        means="A page that was shifted by a new entity hides one from the audit.",
        mend="Begin a page after the (create_time, id) that the one before ended with; never count "
        "rows to skip.",
        check=_pages,
    ),
    Promise(
        name="list-filters",
        says="List shows the states and the subject that are asked for, and no others",
        means="A list that lets too much through is read as if it did not.",
        mend="Apply every filter that is set; one that is left out lets everything through.",
        check=_filters,
    ),
    Promise(
        name="list-times",
        says="create_time_after is inclusive, create_time_before exclusive",
        means="Intervals that meet must share nothing and leave nothing out.",
        mend="Compare with >= and with <, in the precision that create_time is answered in.",
        check=_times,
    ),
    Promise(
        name="token-of-other-filters",
        says="a page_token with other filters is INVALID_ARGUMENT",
        means="It would show the rest of a list that nobody began.",
        mend="Put a digest of the filters into the token and compare it.",
        check=_tokens,
    ),
    Promise(
        name="made-up-token",
        says="a page_token that was never given out is INVALID_ARGUMENT",
        means="A token that can be guessed becomes an interface that cannot be changed.",
        mend="Make tokens opaque, and refuse what does not decode.",
        check=_forged,
    ),
    Promise(
        name="page-sizes",
        says="page_size 0 and more than 1,000 are taken, a negative one is INVALID_ARGUMENT",
        means="Callers written for a larger limit go on working.",
        mend="Take 0 as 100 and more than 1,000 as 1,000.",
        check=_sizes,
    ),
    Promise(
        name="list-without-items",
        says="List leaves the items of orders out",
        means="A page of 1,000 orders with 1,000 items each fits into no message.",
        mend="Leave `items` empty in ListOrders.",
        check=_without_items,
        kinds=frozenset({"order"}),
    ),
)
