"""Following one process until it rests, over restarts of the server that tells of it.

Invariant: every event is given once, in order: a watch that breaks off is taken up after the last
revision seen. It must never give up because the server is away, only because the time is over or
the process is not known.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import grpc
import grpc.aio

from console.patience import Backoff, Until
from console.wire import CallFailed, Connection, read_error
from oms.orchestrator.v1 import order_process_pb2 as pb
from oms.orchestrator.v1.order_process_service_pb2 import (
    GetOrderProcessRequest,
    WatchOrderProcessRequest,
    WatchOrderProcessResponse,
)

SETTLED: Final = frozenset({pb.ORDER_PROCESS_STATE_COMPLETED, pb.ORDER_PROCESS_STATE_CANCELLED})
RESTING: Final = SETTLED | {pb.ORDER_PROCESS_STATE_PARKED}

# A watch may last; but a server that is gone without a word is noticed after this long.
_WATCH_SECONDS_MAX: Final = 300.0


async def follow(
    connection: Connection,
    process_id: str,
    *,
    after_revision: int,
    until: Until,
    trouble: Callable[[CallFailed], None],
    ends: frozenset[pb.OrderProcessState.ValueType] = SETTLED,
    present_revision: int = 0,
    answered: Callable[[], None] | None = None,
) -> AsyncGenerator[WatchOrderProcessResponse]:
    """What happens to a process after a revision, until a state in `ends` or the time is over.

    A state that the process was in before `present_revision` is its past, and no end: what was
    COMPLETED may have been returned since.

    Tells `trouble` of every time that the server was away and, where somebody wants to know, that
    it has `answered` since, though there may be nothing new. Raises `CallFailed` for what will not
    pass.
    """
    backoff = Backoff()
    away = False
    while not until.passed:
        try:
            if away and answered is not None:
                # A watch says nothing before something happens.
                await connection.call(
                    connection.processes.GetOrderProcess,
                    GetOrderProcessRequest(process_id=process_id),
                )
                answered()
            away = False
            async with aclosing(
                _watch(connection, process_id, after_revision=after_revision, until=until)
            ) as watch:
                async for told in watch:
                    backoff.reset()
                    after_revision = told.event.revision
                    yield told
                    if told.process.state in ends and after_revision >= present_revision:
                        return
        except CallFailed as failed:
            if not failed.passing:
                raise
            # A deadline is the watch's own end, and no sign of trouble.
            if failed.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                away = True
                trouble(failed)
            pause = backoff.pause_seconds(asked_seconds=failed.retry_after_seconds)
            await asyncio.sleep(min(pause, max(0.0, until.left_seconds)))
        else:
            # It ended, though nothing said that it would: ask again, but not in a circle.
            await asyncio.sleep(backoff.pause_seconds())


async def _watch(
    connection: Connection, process_id: str, *, after_revision: int, until: Until
) -> AsyncGenerator[WatchOrderProcessResponse]:
    request = WatchOrderProcessRequest(process_id=process_id, after_revision=after_revision)
    watch = connection.processes.WatchOrderProcess(
        request, timeout=min(_WATCH_SECONDS_MAX, until.left_seconds)
    )
    try:
        async for told in watch:
            yield told
    except grpc.aio.AioRpcError as error:
        raise read_error(error, target=connection.target) from None
    finally:
        watch.cancel()
