"""What a call that fails was answered."""

from collections.abc import Awaitable
from typing import Any

import grpc.aio
import pytest

from chassis.statuses import WireError, read_error


async def refusal(call: Awaitable[Any]) -> WireError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return read_error(raised.value)


def told(error: WireError) -> tuple[str, str]:
    return error.code.name, error.reason
