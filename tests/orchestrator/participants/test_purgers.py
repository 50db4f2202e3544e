"""Participants that are asked to purge: what they keep, what they know, what they fail over."""

from collections.abc import Collection, Sequence

import grpc
import grpc.aio
import pytest

from chassis import faults
from chassis.channels import open_channel
from orchestrator.order_process import PROCESS_PREFIX, order_id_of
from orchestrator.participants.purgers import ParticipantPurger, open_purgers
from tests.orchestrator.harness.lines import captured_lines

IDS = [f"{PROCESS_PREFIX}_{number:026}" for number in range(4)]


def failing(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())


class Scripted:
    """Answers what is asked with what it keeps, but fails over some ids."""

    def __init__(self, *, keeps: Collection[str] = (), fails: Collection[str] = ()) -> None:
        self.keeps = set(keeps)
        self.fails = set(fails)
        self.code = grpc.StatusCode.INTERNAL
        self.asked: list[list[str]] = []

    async def __call__(self, ids: Sequence[str]) -> Collection[str]:
        self.asked.append(list(ids))
        if self.fails & set(ids):
            raise failing(self.code)
        return self.keeps & set(ids)

    def purger(self) -> ParticipantPurger:
        return ParticipantPurger("order", order_id_of, self)


async def test_what_is_kept_is_told_by_its_process() -> None:
    scripted = Scripted(keeps={order_id_of(IDS[2]), "ord_nobody"})
    assert {IDS[2]} == await scripted.purger().purge(IDS)
    assert [[order_id_of(it) for it in IDS]] == scripted.asked


async def test_one_that_it_fails_over_keeps_no_other() -> None:
    scripted = Scripted(fails={order_id_of(IDS[1])}, keeps={order_id_of(IDS[3])})
    assert {IDS[1], IDS[3]} == set(await scripted.purger().purge(IDS))
    assert 1 + len(IDS) == len(scripted.asked)


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.CANCELLED,
    ],
)
async def test_one_that_does_not_answer_is_away_and_named(code: grpc.StatusCode) -> None:
    scripted = Scripted(fails={order_id_of(IDS[0])})
    scripted.code = code
    with pytest.raises(faults.Unavailable, match="order service"):
        await scripted.purger().purge(IDS)
    assert 1 == len(scripted.asked)


async def test_one_that_knows_no_purge_keeps_its_rows_and_is_told_of_once() -> None:
    server = grpc.aio.server()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with open_channel(address) as channel:
        orders, *_ = open_purgers(channel, channel, channel)
        with captured_lines() as lines:
            assert () == await orders.purge(IDS)
            assert () == await orders.purge(IDS)
    await server.stop(0)
    assert ["participant_knows_no_purge"] == lines.events("warning")
