"""Definitions: what undoes what, and which are none."""

from dataclasses import replace
from itertools import combinations

import pytest

from orchestrator.saga.definition import Definition, Policy, Step, Versions
from tests.orchestrator.sagas.five_steps import FIVE_STEPS
from tests.orchestrator.sagas.journey import JOURNEY


@pytest.mark.parametrize(
    ("applied", "undos"),
    [
        ("", ""),
        ("create_order", "cancel_order"),
        ("create_order process_payment", "cancel_payment cancel_order"),
        ("create_order process_payment confirm_payment", "cancel_payment cancel_order"),
        (
            "create_order process_payment confirm_payment confirm_order",
            "cancel_payment cancel_order",
        ),
        (
            "create_order process_payment confirm_payment confirm_order process_delivery",
            "cancel_delivery cancel_payment cancel_order",
        ),
        # Not what a process comes to, but what the words say.
        ("confirm_order", "cancel_order"),
        ("confirm_payment", "cancel_payment"),
    ],
)
def test_each_undo_is_made_once_newest_first(applied: str, undos: str) -> None:
    assert tuple(undos.split()) == FIVE_STEPS.undos_of(set(applied.split()))


def test_a_step_without_an_undo_is_not_undone() -> None:
    assert () == JOURNEY.undos_of({"send_letter"})
    assert ("give_room_back", "give_seat_back") == JOURNEY.undos_of(
        {"reserve_seat", "book_room", "send_letter"}
    )


def test_more_steps_never_lead_to_fewer_undos() -> None:
    names = [step.name for step in FIVE_STEPS.steps]
    for size in range(len(names)):
        for some in combinations(names, size):
            for more in names:
                assert set(FIVE_STEPS.undos_of(set(some))) <= set(
                    FIVE_STEPS.undos_of({*some, more})
                )


def test_a_definition_names_its_actions_and_its_key() -> None:
    assert ("journey", 3) == JOURNEY.key
    assert [
        "reserve_seat",
        "give_seat_back",
        "book_room",
        "give_room_back",
        "send_letter",
    ] == list(JOURNEY.actions())


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (Step(name=""),),
        (Step(name="a"), Step(name="a")),
        (Step(name="a", undo="a"),),
        (Step(name="a", undo="x"), Step(name="b", undo="x")),
        (Step(name="a", undo="b"), Step(name="b")),
        (Step(name="a", undo=""),),
        (Step(name="a", undo="x"), Step(name="b", undo="y", covered_by="x")),
        (Step(name="a", covered_by="x"), Step(name="b", undo="x")),
        (Step(name="a", covered_by="x"),),
    ],
)
def test_what_makes_no_sense_is_no_definition(steps: tuple[Step, ...]) -> None:
    with pytest.raises(AssertionError):
        Definition(name="d", version=1, steps=steps)


def test_a_definition_has_a_name_and_a_version() -> None:
    with pytest.raises(AssertionError):
        Definition(name="", version=1, steps=(Step(name="a"),))
    with pytest.raises(AssertionError):
        Definition(name="d", version=0, steps=(Step(name="a"),))


def test_patience_is_positive() -> None:
    with pytest.raises(AssertionError):
        Policy(attempt_timeout_seconds=0.0)
    with pytest.raises(AssertionError):
        Policy(compensation_horizon_seconds=0.0)


SECOND = replace(FIVE_STEPS, version=FIVE_STEPS.version + 1)


def test_what_begins_begins_on_the_last_version_and_the_former_ones_are_known() -> None:
    versions = Versions(known=(FIVE_STEPS, SECOND))

    assert SECOND == versions.current
    assert {FIVE_STEPS.key: FIVE_STEPS, SECOND.key: SECOND} == versions.by_key
    assert {SECOND.name: SECOND.version} == versions.newest


def test_all_versions_are_as_patient_as_the_one_who_runs_them() -> None:
    policy = Policy(attempt_timeout_seconds=9.0)

    patient = Versions(known=(FIVE_STEPS, SECOND)).patient(policy)

    assert [policy, policy] == [it.policy for it in patient.known]
    assert [it.key for it in patient.known] == [FIVE_STEPS.key, SECOND.key]


@pytest.mark.parametrize(
    "known", [(), (SECOND, FIVE_STEPS), (FIVE_STEPS, FIVE_STEPS), (FIVE_STEPS, JOURNEY)]
)
def test_versions_are_those_of_one_saga_each_once_oldest_first(
    known: tuple[Definition, ...],
) -> None:
    with pytest.raises(AssertionError):
        Versions(known=known)
