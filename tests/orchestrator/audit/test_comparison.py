"""The comparison: every phase of a process with every state of what belongs to it."""

import itertools
from collections.abc import Iterator

import pytest

from orchestrator.audit.accounts import Case, Entity, EntityKind, Process, id_of
from orchestrator.audit.comparison import compare, orphaned
from orchestrator.audit.finding import Finding, Kind, Risk, Severity
from orchestrator.placed_order import Money
from orchestrator.saga.state import Phase

PROCESS_ID = "prc_01m83k1g0ceks9qzxz157vwd63"
TOTAL = Money(currency_code="USD", minor_units=2_500)
SECOND = 1_000_000
NOW = 10_000 * SECOND
OVERDUE = 300 * SECOND
EVERY = frozenset(EntityKind)

# "" is an entity that is not there; "UNSPECIFIED" one in a state that this release does not know.
STATES = {
    EntityKind.ORDER: ("", "PENDING", "CONFIRMED", "CANCELLED", "UNSPECIFIED"),
    EntityKind.PAYMENT: (
        *("", "PENDING", "HELD", "CONFIRMED", "DECLINED", "CANCELLED", "UNSPECIFIED"),
    ),
    EntityKind.DELIVERY: ("", "ASSIGNED", "REJECTED", "CANCELLED", "UNSPECIFIED"),
}
SUBSETS = [
    frozenset(kinds) for size in range(4) for kinds in itertools.combinations(EntityKind, size)
]


def process(
    phase: Phase,
    *,
    cancelled: frozenset[EntityKind] = frozenset(),
    by_hand: frozenset[EntityKind] = frozenset(),
    total: Money | None = TOTAL,
    update_time_us: int = NOW - SECOND,
    due_time_us: int | None = NOW - SECOND,
    deadline_us: int = NOW + 60 * SECOND,
    unreadable: str = "",
) -> Process:
    return Process(
        process_id=PROCESS_ID,
        phase=phase,
        total=total,
        cancelled=cancelled,
        by_hand=by_hand,
        create_time_us=update_time_us - 10,
        update_time_us=update_time_us,
        end_time_us=update_time_us if phase.settled else None,
        deadline_us=deadline_us,
        due_time_us=None if phase.at_rest else due_time_us,
        parked_on="cancel_payment" if phase is Phase.PARKED else "",
        parked_reason="NOT_TODAY" if phase is Phase.PARKED else "",
        parked_time_us=update_time_us if phase is Phase.PARKED else None,
        unreadable=unreadable,
    )


def entity(kind: EntityKind, state: str, amount: Money | None = TOTAL) -> Entity:
    return Entity(
        kind=kind,
        entity_id=id_of(kind, PROCESS_ID),
        state=state,
        amount=None if kind is EntityKind.DELIVERY else amount,
        create_time_us=5,
        update_time_us=7,
    )


def combinations() -> Iterator[dict[EntityKind, Entity]]:
    for states in itertools.product(*STATES.values()):
        yield {
            kind: entity(kind, state) for kind, state in zip(STATES, states, strict=True) if state
        }


def found(process: Process, entities: dict[EntityKind, Entity]) -> tuple[Finding, ...]:
    case = Case(process=process, entities=entities)
    return compare(case, now_us=NOW, overdue_us=OVERDUE)


def kinds(process: Process, entities: dict[EntityKind, Entity]) -> set[Kind]:
    findings = found(process, entities)
    assert len(findings) == len({it.kind for it in findings}), "each thing is said once"
    return {it.kind for it in findings}


def state(entities: dict[EntityKind, Entity], kind: EntityKind) -> str:
    return entities[kind].state if kind in entities else ""


LIVE = {
    EntityKind.ORDER: {"PENDING", "CONFIRMED", "UNSPECIFIED"},
    EntityKind.PAYMENT: {"PENDING", "HELD", "CONFIRMED", "UNSPECIFIED"},
    EntityKind.DELIVERY: {"ASSIGNED", "UNSPECIFIED"},
}
OF_CANCELLED = {
    EntityKind.ORDER: Kind.ORDER_OF_CANCELLED_PROCESS,
    EntityKind.PAYMENT: Kind.PAYMENT_OF_CANCELLED_PROCESS,
    EntityKind.DELIVERY: Kind.DELIVERY_OF_CANCELLED,
}
IF_COMPLETED = {
    EntityKind.ORDER: ("CONFIRMED", Kind.ORDER_MISSING, Kind.ORDER_STATE_MISMATCH),
    EntityKind.PAYMENT: ("CONFIRMED", Kind.PAYMENT_MISSING, Kind.PAYMENT_STATE_MISMATCH),
    EntityKind.DELIVERY: ("ASSIGNED", Kind.DELIVERY_MISSING, Kind.DELIVERY_STATE_MISMATCH),
}


def test_a_completed_process_has_exactly_what_it_should_have_or_it_is_found() -> None:
    for entities in combinations():
        expected = set()
        for kind, (right, missing, mismatch) in IF_COMPLETED.items():
            if (it := state(entities, kind)) != right:
                expected.add(mismatch if it else missing)
        delivered = state(entities, EntityKind.DELIVERY) in LIVE[EntityKind.DELIVERY]
        if state(entities, EntityKind.ORDER) == "CANCELLED" and delivered:
            expected.add(Kind.DELIVERY_OF_CANCELLED)
        assert expected == kinds(process(Phase.COMPLETED), entities), entities


@pytest.mark.parametrize("by_hand", SUBSETS, ids=lambda it: "-".join(sorted(it)) or "nothing")
def test_a_cancelled_process_leaves_nothing_but_what_a_person_saw_to(
    by_hand: frozenset[EntityKind],
) -> None:
    for entities in combinations():
        expected = {
            OF_CANCELLED[kind] for kind in EVERY - by_hand if state(entities, kind) in LIVE[kind]
        }
        assert expected == kinds(process(Phase.CANCELLED, by_hand=by_hand), entities), entities


# A process that goes forward has undone nothing.
@pytest.mark.parametrize(
    ("phase", "cancelled"),
    [
        (Phase.RUNNING, frozenset()),
        *itertools.product((Phase.COMPENSATING, Phase.PARKED), SUBSETS),
    ],
)
def test_in_flight_and_parked_only_what_was_cancelled_for_good_is_found(
    phase: Phase, cancelled: frozenset[EntityKind]
) -> None:
    for entities in combinations():
        expected = {OF_CANCELLED[kind] for kind in cancelled if state(entities, kind) in LIVE[kind]}
        if phase is Phase.PARKED:
            expected.add(Kind.PROCESS_PARKED)
        assert expected == kinds(process(phase, cancelled=cancelled), entities), entities


@pytest.mark.parametrize("phase", Phase)
def test_an_amount_that_differs_is_found_in_every_phase(phase: Phase) -> None:
    other = Money(currency_code="USD", minor_units=2_501)
    for kind in (EntityKind.ORDER, EntityKind.PAYMENT):
        for of in STATES[kind]:
            if not of:
                continue
            odd = process(phase), {kind: entity(kind, of, other)}
            assert Kind.AMOUNT_MISMATCH in kinds(*odd)
            assert Kind.AMOUNT_MISMATCH not in kinds(process(phase), {kind: entity(kind, of)})
            unknown = process(phase, total=None), {kind: entity(kind, of, other)}
            assert Kind.AMOUNT_MISMATCH not in kinds(*unknown)
            tombstone = process(phase), {kind: entity(kind, of, None)}
            assert Kind.AMOUNT_MISMATCH not in kinds(*tombstone)


def test_another_currency_is_another_amount() -> None:
    payment = entity(
        EntityKind.PAYMENT, "HELD", Money(currency_code="EUR", minor_units=TOTAL.minor_units)
    )
    assert {Kind.AMOUNT_MISMATCH} == kinds(process(Phase.RUNNING), {EntityKind.PAYMENT: payment})


def test_an_amount_that_a_person_saw_to_is_not_found() -> None:
    other = Money(currency_code="USD", minor_units=1)
    seen_to = process(Phase.CANCELLED, by_hand=frozenset({EntityKind.PAYMENT}))
    assert set() == kinds(
        seen_to, {EntityKind.PAYMENT: entity(EntityKind.PAYMENT, "CONFIRMED", other)}
    )


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.COMPENSATING])
def test_a_process_is_overdue_once_it_is_due_and_has_not_moved_for_that_long(
    phase: Phase,
) -> None:
    long_ago = NOW - OVERDUE - 1
    at_the_edge = NOW - OVERDUE
    overdue = process(phase, update_time_us=long_ago, due_time_us=long_ago)
    assert {Kind.PROCESS_OVERDUE} == kinds(overdue, {})
    (finding,) = found(overdue, {})
    assert (long_ago, Severity.WARNING) == (finding.since_us, finding.severity)
    for in_time in (
        process(phase, update_time_us=long_ago, due_time_us=at_the_edge),
        process(phase, update_time_us=at_the_edge, due_time_us=long_ago),
        process(phase, update_time_us=long_ago, due_time_us=NOW + 1),
    ):
        assert set() == kinds(in_time, {})


def test_a_process_that_goes_forward_past_its_deadline_is_overdue_whatever_it_waits_for() -> None:
    long_ago = NOW - OVERDUE - 1
    for phase, expected in (
        (Phase.RUNNING, {Kind.PROCESS_OVERDUE}),
        (Phase.COMPENSATING, set()),
    ):
        waiting = process(
            phase, update_time_us=long_ago - 5, due_time_us=NOW + OVERDUE, deadline_us=long_ago
        )
        assert expected == kinds(waiting, {})


@pytest.mark.parametrize("phase", [Phase.COMPLETED, Phase.CANCELLED, Phase.PARKED])
def test_what_is_at_rest_is_never_overdue(phase: Phase) -> None:
    for entities in combinations():
        assert Kind.PROCESS_OVERDUE not in kinds(process(phase, update_time_us=1), entities)


@pytest.mark.parametrize(
    ("of", "risk"),
    [
        ("PENDING", Risk.HELD),
        ("HELD", Risk.HELD),
        ("CONFIRMED", Risk.CAPTURED),
        ("DECLINED", None),
        ("CANCELLED", None),
    ],
)
def test_the_money_of_a_parked_process_is_at_risk(of: str, risk: Risk | None) -> None:
    payment = {EntityKind.PAYMENT: entity(EntityKind.PAYMENT, of)}
    (finding,) = found(process(Phase.PARKED), payment)
    assert (risk, Severity.INFORMATION) == (finding.risk, finding.severity)
    assert (TOTAL if risk else None) == finding.amount
    seen_to = process(Phase.PARKED, by_hand=frozenset({EntityKind.PAYMENT}))
    (finding,) = found(seen_to, payment)
    assert finding.risk is None


def test_money_is_counted_once_where_a_parked_process_did_cancel_its_payment() -> None:
    cancelled = process(Phase.PARKED, cancelled=frozenset({EntityKind.PAYMENT}))
    findings = found(cancelled, {EntityKind.PAYMENT: entity(EntityKind.PAYMENT, "CONFIRMED")})
    assert [Kind.PAYMENT_OF_CANCELLED_PROCESS] == [it.kind for it in findings if it.risk]


@pytest.mark.parametrize("phase", Phase)
def test_with_a_history_that_cannot_be_read_nothing_is_compared(phase: Phase) -> None:
    for entities in combinations():
        (finding,) = found(process(phase, total=None, unreadable="no kind"), entities)
        assert Kind.PROCESS_UNREADABLE is finding.kind
        at_risk = (
            phase is not Phase.COMPLETED
            and state(entities, EntityKind.PAYMENT) in LIVE[EntityKind.PAYMENT]
        )
        assert at_risk is (finding.risk is not None)


def test_an_entity_that_nobody_knows_is_found_exactly_while_it_stands_for_something() -> None:
    for kind, states in STATES.items():
        for of in filter(None, states):
            finding = orphaned(entity(kind, of))
            assert (of in LIVE[kind]) is (finding is not None)
            if finding is not None:
                assert (kind is EntityKind.PAYMENT) is (finding.risk is not None)
                assert f"ORPHAN_{kind.name}" == finding.kind
                assert "" == finding.process_id


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", EntityKind)
def test_what_a_participant_cannot_read_is_found_as_that_alone(
    phase: Phase, kind: EntityKind
) -> None:
    right = {EntityKind.ORDER: "CONFIRMED", EntityKind.PAYMENT: "CONFIRMED"}
    entities = {it: entity(it, right.get(it, "ASSIGNED")) for it in EntityKind}
    entities = entities if phase is Phase.COMPLETED else {}
    entities[kind] = entity(kind, "UNREADABLE", None)
    beside = {Kind.PROCESS_PARKED} if phase is Phase.PARKED else set()
    assert {Kind.ENTITY_UNREADABLE} | beside == kinds(process(phase, cancelled=EVERY), entities)
    seen_to = process(phase, by_hand=EVERY)
    assert beside == kinds(seen_to, entities)


def test_every_finding_says_what_to_do() -> None:
    for phase in Phase:
        for entities in combinations():
            for finding in found(process(phase, cancelled=EVERY), entities):
                assert 60 < len(finding.message) < 500
                assert finding.message.endswith((".", "?"))


@pytest.mark.parametrize(
    ("kind", "entity_id", "process_id"),
    [
        (EntityKind.PAYMENT, id_of(EntityKind.PAYMENT, PROCESS_ID), PROCESS_ID),
        (EntityKind.PAYMENT, id_of(EntityKind.ORDER, PROCESS_ID), ""),
        (EntityKind.ORDER, "my-own-order", ""),
        (EntityKind.DELIVERY, "dlv_", ""),
    ],
)
def test_only_an_id_that_a_process_gives_names_a_process(
    kind: EntityKind, entity_id: str, process_id: str
) -> None:
    it = Entity(
        kind=kind,
        entity_id=entity_id,
        state="HELD",
        amount=None,
        create_time_us=0,
        update_time_us=0,
    )
    assert process_id == it.process_id
