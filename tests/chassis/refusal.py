"""Catches what a servicer refuses with."""

from collections.abc import Awaitable

import grpc.aio
import pytest

from chassis.statuses import WireError, read_error


async def refusal(call: Awaitable[object]) -> WireError:
    """The error that `call` ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return read_error(raised.value)


def fields(error: WireError) -> list[str]:
    """The fields that an error names, in its order."""
    return [it.field for it in error.violations]
