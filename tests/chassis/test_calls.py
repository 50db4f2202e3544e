"""Calls that cost less are the same calls."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc.aio
import pytest

from chassis.calls import OnePair, unregistered
from chassis.channels import open_channel
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub
from oms.order.v1 import order_service_pb2 as pb
from oms.order.v1 import order_service_pb2_grpc as pb_grpc

PAIR = ("oms-process-id", "prc_1")


def test_a_pair_reads_as_metadata_of_that_pair() -> None:
    pair, plain = OnePair(*PAIR), grpc.aio.Metadata(PAIR)

    assert list(plain) == list(pair)
    assert (len(plain), bool(plain)) == (len(pair), bool(pair))
    assert plain[PAIR[0]] == pair[PAIR[0]]
    assert (None, ["prc_1"]) == (pair.get("another"), pair.get_all(PAIR[0]))
    assert (list(plain.keys()), list(plain.values())) == (list(pair.keys()), list(pair.values()))
    assert plain == pair
    assert OnePair(*PAIR) == pair
    assert OnePair("oms-process-id", "prc_2") != pair
    assert [PAIR, ("a", "b")] == list(grpc.aio.Metadata(*pair, ("a", "b")))


def test_nothing_can_be_added_to_a_pair_and_lost() -> None:
    pair = OnePair(*PAIR)

    with pytest.raises((AttributeError, TypeError)):
        pair.add("a", "b")
    with pytest.raises((AttributeError, TypeError)):
        pair["a"] = "b"
    with pytest.raises((AttributeError, TypeError)):
        del pair[PAIR[0]]

    assert [PAIR] == list(pair)


class Sees(pb_grpc.OrderServiceServicer):
    """Keeps what it is asked, with its metadata."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def GetOrder(  # noqa: N802 - the contract names it
        self, request: pb.GetOrderRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetOrderResponse:
        metadata = dict(context.invocation_metadata() or ())
        self.asked.append((request.order_id, str(metadata.get(PAIR[0]))))
        return pb.GetOrderResponse()


@asynccontextmanager
async def seeing() -> AsyncIterator[tuple[Sees, grpc.aio.Channel]]:
    # What is not overridden answers UNIMPLEMENTED.
    sees = Sees()  # type: ignore[abstract]
    server = grpc.aio.server()
    pb_grpc.add_OrderServiceServicer_to_server(sees, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield sees, channel
    finally:
        await server.stop(None)


async def test_a_stub_whose_methods_are_not_registered_makes_the_same_call() -> None:
    async with seeing() as (sees, channel):
        for stub in (
            pb_grpc.OrderServiceStub(channel),
            pb_grpc.OrderServiceStub(unregistered(channel)),
        ):
            await stub.GetOrder(
                pb.GetOrderRequest(order_id="ord_1"), timeout=10, metadata=OnePair(*PAIR)
            )
    assert 2 * [("ord_1", PAIR[1])] == sees.asked


class Notes:
    """A channel that notes what is asked of it, whatever it is."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, object]]] = []

    def __getattr__(self, kind: str) -> Callable[..., None]:
        return lambda _, **options: self.asked.append((kind, options))


def test_every_kind_of_method_is_made_so_and_with_all_else_that_the_stub_gives_it() -> None:
    registered, notes = Notes(), Notes()
    OrderProcessServiceStub(cast("grpc.aio.Channel", registered))
    OrderProcessServiceStub(unregistered(cast("grpc.aio.Channel", notes)))

    assert {"unary_unary", "unary_stream"} == {kind for kind, _ in notes.asked}
    assert all("_registered_method" in options for _, options in registered.asked)
    assert notes.asked == [
        (kind, {name: it for name, it in options.items() if name != "_registered_method"})
        for kind, options in registered.asked
    ]
