"""What an order costs for which there is no room: most of what an orchestrator does that is offered
twice what it can do.

The last tests plant what the first would have to see.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import grpc
import grpc.aio
import pytest

from chassis import handlers, statuses
from chassis.handlers import Handlers
from orchestrator import requests
from tests.counts.bounds import check, over
from tests.counts.harness.crowd import CROWD, SERVERS, Crowd, Patient, open_crowd, play
from tests.counts.harness.python_calls import Calls, calls_here, of_this_python
from tests.orchestrator.edge.harness.office import order

pytestmark = of_this_python

NAME = "function calls: an order that is turned away, in the loop's thread"


class Caller(Patient):
    """The context of one, which ends its call as the library does."""

    def __init__(self) -> None:
        self.codes: list[grpc.StatusCode] = []

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        self.codes.append(status.code)
        raise grpc.aio.AbortError


async def turned_away(crowd: Crowd) -> None:
    """So many at once."""
    caller: Any = Caller()
    start = Handlers()._awaiting("StartOrderProcess", crowd._servicer.StartOrderProcess)
    await asyncio.gather(*(start(order(f"late-{it}"), caller) for it in range(CROWD)))
    assert [grpc.StatusCode.RESOURCE_EXHAUSTED] * CROWD == caller.codes


@pytest.fixture
def counted(tmp_path: Path) -> Callable[[], Calls]:
    async def scenario() -> Calls:
        async with open_crowd(f"sqlite:///{tmp_path}/log.db", tmp_path) as crowd:
            crowd._servicer._admission._most = 0
            await turned_away(crowd)
            with calls_here() as calls:
                await turned_away(crowd)
            return calls

    def count() -> Calls:
        with patch.object(handlers, "_log", SERVERS):
            return play(scenario())

    return count


def test_little_is_done_for_an_order_that_is_turned_away(counted: Callable[[], Calls]) -> None:
    calls = counted()
    check(NAME, calls.total / CROWD, calls.most(CROWD))


def test_an_order_that_is_read_for_nothing_is_seen(
    counted: Callable[[], Calls], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "names_itself", lambda _: False)
    assert over(NAME, counted().total / CROWD)


def test_a_status_that_is_packed_each_time_is_seen(
    counted: Callable[[], Calls], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statuses, "_turned_away", statuses._turned_away.__wrapped__)
    assert over(NAME, counted().total / CROWD)
