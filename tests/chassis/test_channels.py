import grpc
import grpc.aio
import pytest

from chassis.channels import open_channel


async def test_a_channel_says_at_once_that_nobody_is_there() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        ask = channel.unary_unary("/tests.Nobody/Ask")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
