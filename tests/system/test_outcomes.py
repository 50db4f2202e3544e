"""Each of the 17 codes at each step and each undo, and the calls that follow, over real gRPC.

Invariant: what is expected is computed from the tables in this file, written by hand after the
design's, never from the code's own. All scenarios run at once, on two orchestrators: a patient one,
and one whose deadlines are short.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import grpc
import pytest
from grpc import StatusCode

from oms.orchestrator.v1 import order_process_pb2
from oms.orchestrator.v1.order_process_pb2 import OrderProcess, OrderProcessState
from tests.system.harness.requests import order
from tests.system.harness.scripted import Answer, Fails, Hangs, Script, Scripted, answered
from tests.system.harness.system import Orchestrator

OUTCOMES = {
    StatusCode.OK: "succeeded",
    StatusCode.INVALID_ARGUMENT: "rejected",
    StatusCode.NOT_FOUND: "rejected",
    StatusCode.ALREADY_EXISTS: "rejected",
    StatusCode.FAILED_PRECONDITION: "rejected",
    StatusCode.OUT_OF_RANGE: "rejected",
    StatusCode.PERMISSION_DENIED: "barred",
    StatusCode.UNAUTHENTICATED: "barred",
    StatusCode.UNIMPLEMENTED: "barred",
    StatusCode.ABORTED: "refused",
    StatusCode.RESOURCE_EXHAUSTED: "refused",
    StatusCode.UNAVAILABLE: "unknown",
    StatusCode.DEADLINE_EXCEEDED: "unknown",
    StatusCode.CANCELLED: "unknown",
    StatusCode.UNKNOWN: "unknown",
    StatusCode.INTERNAL: "unknown",
    StatusCode.DATA_LOSS: "unknown",
}
FORWARD = ["CreateOrder", "CreatePayment", "ConfirmPayment", "ConfirmOrder", "CreateDelivery"]
UNDOS = ["CancelDelivery", "CancelPayment", "CancelOrder"]
# What is undone where the step is known not to have been applied ...
UNDONE_BEFORE = {
    "CreateOrder": [],
    "CreatePayment": ["CancelOrder"],
    "ConfirmPayment": ["CancelPayment", "CancelOrder"],
    "ConfirmOrder": ["CancelPayment", "CancelOrder"],
    "CreateDelivery": ["CancelPayment", "CancelOrder"],
}
# ... and where it may have been.
UNDONE_WITH = {
    "CreateOrder": ["CancelOrder"],
    "CreatePayment": ["CancelPayment", "CancelOrder"],
    "ConfirmPayment": ["CancelPayment", "CancelOrder"],
    "ConfirmOrder": ["CancelPayment", "CancelOrder"],
    "CreateDelivery": ["CancelDelivery", "CancelPayment", "CancelOrder"],
}
COMPLETED = order_process_pb2.ORDER_PROCESS_STATE_COMPLETED
CANCELLED = order_process_pb2.ORDER_PROCESS_STATE_CANCELLED
PARKED = order_process_pb2.ORDER_PROCESS_STATE_PARKED

# Long enough for a scenario to come to its scripted step on a slow machine, as nothing else takes
# time.
DEADLINE_SECONDS = 8
HORIZON_SECONDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A script, and the calls that it must lead to.

    `hasty`: on the orchestrator with short deadlines, where the number of tries is not determined:
    repeated calls count once. `returned`: cancelled once it is COMPLETED.
    """

    name: str
    script: Script
    calls: list[str]
    state: OrderProcessState.ValueType
    hasty: bool = False
    returned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a scenario led to."""

    calls: list[str]
    process: OrderProcess


def answered_once_at_a_step() -> Iterable[Scenario]:
    for at, method in enumerate(FORWARD):
        for code, outcome in OUTCOMES.items():
            until, after = FORWARD[: at + 1], FORWARD[at + 1 :]
            calls, state = {
                "succeeded": (FORWARD, COMPLETED),
                "rejected": (until + UNDONE_BEFORE[method], CANCELLED),
                "barred": (until + UNDONE_BEFORE[method], CANCELLED),
                "refused": ([*until, method, *after], COMPLETED),
                "unknown": ([*until, method, *after], COMPLETED),
            }[outcome]
            yield Scenario(
                name=f"{method} answers {code.name} once",
                script={method: [answered(code)]},
                calls=calls,
                state=state,
            )


def answered_for_ever_at_a_step() -> Iterable[Scenario]:
    for at, method in enumerate(FORWARD):
        for code, outcome in OUTCOMES.items():
            if outcome in {"refused", "unknown"}:
                yield Scenario(
                    name=f"{method} answers {code.name} for ever",
                    script={method: itertools.repeat(answered(code))},
                    calls=FORWARD[: at + 1] + UNDONE_WITH[method],
                    state=CANCELLED,
                    hasty=True,
                )


def hanging_at_a_step() -> Iterable[Scenario]:
    for at, method in enumerate(FORWARD):
        yield Scenario(
            name=f"{method} hangs for ever",
            script={method: itertools.repeat(Hangs())},
            calls=FORWARD[: at + 1] + UNDONE_WITH[method],
            state=CANCELLED,
            hasty=True,
        )


def rejected_after_an_unknown_attempt() -> Iterable[Scenario]:
    """The first attempt may still be under way: the refusal of the second says nothing about it."""
    for at, method in enumerate(FORWARD):
        for code, outcome in OUTCOMES.items():
            if outcome in {"rejected", "barred"}:
                yield Scenario(
                    name=f"{method} answers UNAVAILABLE, then {code.name}",
                    script={method: [answered(StatusCode.UNAVAILABLE), answered(code)]},
                    calls=[*FORWARD[: at + 1], method, *UNDONE_WITH[method]],
                    state=CANCELLED,
                )


def answered_once_at_an_undo() -> Iterable[Scenario]:
    for undo in UNDOS:
        for code, outcome in OUTCOMES.items():
            way, undos, returned = way_to(undo)
            at = undos.index(undo)
            until, after = undos[: at + 1], undos[at + 1 :]
            calls, state = {
                "succeeded": (undos, CANCELLED),
                "rejected": (until, PARKED),
                "barred": ([*until, undo, *after], CANCELLED),
                "refused": ([*until, undo, *after], CANCELLED),
                "unknown": ([*until, undo, *after], CANCELLED),
            }[outcome]
            yield Scenario(
                name=f"{undo} answers {code.name} once",
                script=way | {undo: [answered(code)]},
                calls=FORWARD + calls,
                state=state,
                returned=returned,
            )


def answered_for_ever_at_an_undo() -> Iterable[Scenario]:
    for undo in UNDOS:
        for code, outcome in OUTCOMES.items():
            if outcome in {"barred", "refused", "unknown"}:
                way, undos, returned = way_to(undo)
                yield Scenario(
                    name=f"{undo} answers {code.name} for ever",
                    script=way | {undo: itertools.repeat(answered(code))},
                    calls=FORWARD + undos[: undos.index(undo) + 1],
                    state=PARKED,
                    hasty=True,
                    returned=returned,
                )


def way_to(undo: str) -> tuple[dict[str, Iterable[Answer]], list[str], bool]:
    """How a process comes to that undo:

    the script, all undos on that way, and whether it is a return.
    """
    if undo == "CancelDelivery":
        return {}, UNDOS, True
    return {"CreateDelivery": [Fails(code=StatusCode.FAILED_PRECONDITION)]}, UNDOS[1:], False


SCENARIOS = [
    *answered_once_at_a_step(),
    *answered_for_ever_at_a_step(),
    *hanging_at_a_step(),
    *rejected_after_an_unknown_attempt(),
    *answered_once_at_an_undo(),
    *answered_for_ever_at_an_undo(),
]


@pytest.fixture(scope="module")
async def orchestrators(
    scripted: Scripted, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[bool, Orchestrator]]:
    """By whether it is hasty."""
    both = {
        False: Orchestrator(
            folder=tmp_path_factory.mktemp("patient"),
            targets=scripted.targets,
            settings={
                "OMS_ATTEMPT_TIMEOUT_SECONDS": "60",
                "OMS_PROCESS_DEADLINE_SECONDS": "600",
            },
        ),
        True: Orchestrator(
            folder=tmp_path_factory.mktemp("hasty"),
            targets=scripted.targets,
            settings={
                "OMS_ATTEMPT_TIMEOUT_SECONDS": "2",
                "OMS_PROCESS_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
                "OMS_COMPENSATION_HORIZON_SECONDS": str(HORIZON_SECONDS),
            },
        ),
    }
    try:
        await asyncio.gather(*(it.start() for it in both.values()))
        yield both
    finally:
        await asyncio.gather(*(it.close() for it in both.values()))


@pytest.fixture(scope="module")
async def seen(
    scripted: Scripted, orchestrators: dict[bool, Orchestrator]
) -> dict[str, Seen | BaseException]:
    """What every scenario led to, by its name; all of them run side by side."""

    async def play(scenario: Scenario) -> Seen:
        orchestrator = orchestrators[scenario.hasty]
        request = order()
        scripted.script(request.customer_id, scenario.script)
        process = await orchestrator.place(request)
        if scenario.returned:
            assert COMPLETED == process.state
            process = await orchestrator.cancel(process.process_id, "sent back")
            process = await orchestrator.until(process, CANCELLED, PARKED)
        return Seen(calls=scripted.calls(request.customer_id), process=process)

    # The scripted participants answer before the processes are ever short of time only if they come
    # to it in turn.
    played = await asyncio.gather(*map(play, SCENARIOS), return_exceptions=True)
    return dict(zip((it.name for it in SCENARIOS), played, strict=True))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda it: it.name)
def test_the_calls_that_follow_an_answer_are_those_of_the_outcome_table(
    scenario: Scenario, seen: dict[str, Seen | BaseException]
) -> None:
    told = seen[scenario.name]
    if isinstance(told, BaseException):
        raise told
    # How often a call is tried before time is up is for the clock to say.
    collapsed = [method for method, _ in itertools.groupby(told.calls)]
    assert (scenario.calls, OrderProcessState.Name(scenario.state)) == (
        collapsed if scenario.hasty else told.calls,
        OrderProcessState.Name(told.process.state),
    )


def test_each_of_the_17_codes_has_its_outcome() -> None:
    assert set(grpc.StatusCode) == set(OUTCOMES)
