"""How many RPCs an order process makes, counted where they arrive: at the participants' server.

The last test plants what the first would have to see.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from chassis.channels import open_channel
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator.action import Action, ActionCall, ActionReply
from orchestrator.participants.order import SERVICE, OrderParticipant
from tests.counts.bounds import check, over
from tests.counts.harness.crowd import NEVER_SECONDS
from tests.orchestrator.edge.harness import office as office_module
from tests.orchestrator.edge.harness.office import QUICK, Office
from tests.orchestrator.edge.harness.scripted import Context, ScriptedParticipants, fails

ORDERS = 8


class CountedParticipants(ScriptedParticipants):
    """Sees also the calls of methods that no participant has."""

    def __init__(self) -> None:
        super().__init__()
        self.others: list[str] = []

        class Others(grpc.GenericRpcHandler):
            def service(_, details: grpc.HandlerCallDetails) -> None:  # noqa: N805
                self.others.append(details.method)

        self._server.add_generic_rpc_handlers([Others()])

    def forget(self) -> None:
        super().forget()
        self.others.clear()


def open_as_servers_do(target: str) -> grpc.aio.Channel:
    """A channel: to a participant, which may have replicas, one that asks for its health."""
    return open_channel(target, service=SERVICE if target.startswith("ipv4:") else None)


def an_office(server: ScriptedParticipants, folder: Path) -> Office:
    return Office(
        folder,
        {name: f"ipv4:{target}" for name, target in server.targets.items()},
        policy=replace(QUICK, attempt_timeout_seconds=NEVER_SECONDS),
        process_deadline_seconds=NEVER_SECONDS,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[CountedParticipants]:
    async with CountedParticipants() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(
    server: CountedParticipants, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    with patch.object(office_module, "open_channel", open_as_servers_do):
        async with an_office(server, tmp_path_factory.mktemp("office")) as office:
            # Connects, which takes a look at each participant's health.
            await office.start("first")
            assert server.others
            yield office


@pytest.fixture
def participants(server: CountedParticipants) -> CountedParticipants:
    server.forget()
    return server


async def test_a_delivered_order_takes_one_call_a_step(
    office: Office, participants: CountedParticipants
) -> None:
    process = await office.start("delivered")
    assert process_pb.ORDER_PROCESS_STATE_COMPLETED == process.state
    check("calls for a delivered order", len(participants.calls), participants.calls)


async def test_an_undeliverable_order_takes_one_call_a_step_and_one_an_undo(
    office: Office, participants: CountedParticipants
) -> None:
    participants.answers["CreateDelivery"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    process = await office.start("undeliverable")
    assert process_pb.ORDER_PROCESS_STATE_CANCELLED == process.state
    check("calls for an undeliverable order", len(participants.calls), participants.calls)


async def test_an_order_whose_delivery_is_in_doubt_takes_one_more_attempt_and_one_more_undo(
    office: Office, participants: CountedParticipants
) -> None:
    codes = iter((grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION))

    async def answer(request: Any, context: Context) -> Message:
        return await fails(next(codes))(request, context)

    participants.answers["CreateDelivery"] = answer
    process = await office.start("in-doubt")
    assert process_pb.ORDER_PROCESS_STATE_CANCELLED == process.state
    name = "calls for an order whose delivery is in doubt"
    check(name, len(participants.calls), participants.calls)


async def test_nothing_is_asked_of_a_participant_but_to_do_its_steps(
    office: Office, participants: CountedParticipants
) -> None:
    for number in range(ORDERS):
        await office.start(f"asked-{number}")
    name = f"calls that are no attempts, for {ORDERS} orders"
    check(name, len(participants.others), participants.others)


class AskedTwice(OrderParticipant):
    """Makes sure that an order is confirmed."""

    def actions(self) -> Mapping[str, Action]:
        actions = super().actions()

        async def confirm(call: ActionCall) -> ActionReply:
            await actions["confirm_order"](call)
            return await actions["confirm_order"](call)

        return {**actions, "confirm_order": confirm}


async def test_a_call_too_many_is_seen(
    participants: CountedParticipants, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office_module, "OrderParticipant", AskedTwice)
    async with an_office(participants, tmp_path) as office:
        await office.start("too-many")
    assert over("calls for a delivered order", len(participants.calls))
