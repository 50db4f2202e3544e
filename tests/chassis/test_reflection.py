"""What people see of a server without having its proto files, through the real grpcurl."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from chassis.channels import open_channel
from chassis.faults import Invalid, Overloaded, Violation
from chassis.reflection import SERVICE
from chassis.server import Hosted, Server
from oms.order.v1 import order_service_pb2

NAME = "oms.order.v1.OrderService"
GRPCURL = Path(sys.executable).with_name("grpcurl")
TIMEOUT_SECONDS = 20

Context = grpc.aio.ServicerContext[Any, Any]
Request = reflection_pb2.ServerReflectionRequest
Response = reflection_pb2.ServerReflectionResponse


class Orders:
    """Refuses in two ways, and leaves out the rest."""

    async def create(self, _: object, __: Context) -> order_service_pb2.CreateOrderResponse:
        raise Invalid([Violation(field="items[0].quantity", description="must be at least 1")])

    async def get(self, _: object, __: Context) -> order_service_pb2.GetOrderResponse:
        raise Overloaded(
            "OVERLOADED", "too much", retry_after_seconds=0.25, metadata={"limit": "100"}
        )


def add_to(server: grpc.aio.Server) -> None:
    orders = Orders()
    methods: dict[str, Any] = {
        "CreateOrder": grpc.unary_unary_rpc_method_handler(
            orders.create,
            order_service_pb2.CreateOrderRequest.FromString,
            order_service_pb2.CreateOrderResponse.SerializeToString,
        ),
        "GetOrder": grpc.unary_unary_rpc_method_handler(
            orders.get,
            order_service_pb2.GetOrderRequest.FromString,
            order_service_pb2.GetOrderResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(NAME, methods)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    it = Server(
        listen="127.0.0.1:0",
        hosted=[Hosted(name=NAME, add=add_to)],
        drain_grace_seconds=5,
        message_bytes_max=4 * 1024 * 1024,
    )
    await it.start()
    yield it
    await it.drain()


async def grpcurl(server: Server, *words: str, flags: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of one command."""
    process = await asyncio.create_subprocess_exec(
        GRPCURL,
        "-plaintext",
        *flags,
        server.address,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def ask(server: Server, *requests: Request, service: str = SERVICE) -> list[Response]:
    async with open_channel(server.address) as channel:
        converse: grpc.aio.StreamStreamMultiCallable[Request, Response] = channel.stream_stream(
            f"/{service}/ServerReflectionInfo", Request.SerializeToString, Response.FromString
        )
        return [it async for it in converse(iter(requests), timeout=TIMEOUT_SECONDS)]


def files_in(response: Response) -> set[str]:
    packed = response.file_descriptor_response.file_descriptor_proto
    return {FileDescriptorProto.FromString(it).name for it in packed}


async def test_list_names_every_service(server: Server) -> None:
    code, out, err = await grpcurl(server, "list")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["grpc.health.v1.Health", SERVICE, NAME]


async def test_describe_shows_the_comments_of_a_method(server: Server) -> None:
    code, out, _ = await grpcurl(server, "describe", f"{NAME}.CreateOrder")
    assert code == 0
    assert "// ALREADY_EXISTS / ORDER_ID_REUSED: the order_id belongs to an order" in out
    assert "rpc CreateOrder ( .oms.order.v1.CreateOrderRequest )" in out


@pytest.mark.parametrize(
    ("symbol", "comment"),
    [
        (NAME, "// Keeps orders: what was ordered, by whom, for how much."),
        ("oms.order.v1.OrderItem", "// Stock keeping unit: what is sold."),
        ("oms.order.v1.OrderItem.sku", "// Stock keeping unit: what is sold."),
        ("oms.order.v1.OrderState", "// Created, not confirmed yet."),
        ("oms.common.v1.Money", "// An amount of money in one currency."),
    ],
)
async def test_describe_shows_the_comments_of_every_kind_of_symbol(
    server: Server, symbol: str, comment: str
) -> None:
    code, out, err = await grpcurl(server, "describe", symbol)
    assert (code, err) == (0, "")
    assert comment in out


async def test_describe_knows_all_that_is_served(server: Server) -> None:
    code, out, err = await grpcurl(server, "describe")
    assert (code, err) == (0, "")
    for name in ("grpc.health.v1.Health", SERVICE, NAME):
        assert f"{name} is a service" in out


async def test_the_details_of_an_error_are_shown_as_json(server: Server) -> None:
    code, _, err = await grpcurl(server, f"{NAME}/CreateOrder", flags=("-format-error",))
    assert code == 64 + grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert json.loads(err) == {
        "code": 3,
        "message": "items[0].quantity must be at least 1",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "domain": "oms",
                "reason": "INVALID_REQUEST",
            },
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "field_violations": [
                    {"field": "items[0].quantity", "description": "must be at least 1"}
                ],
            },
        ],
    }
    code, _, err = await grpcurl(server, f"{NAME}/GetOrder", flags=("-format-error",))
    assert code == 64 + grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert json.loads(err)["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "domain": "oms",
            "reason": "OVERLOADED",
            "metadata": {"limit": "100"},
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "0.250s"},
    ]


async def test_health_is_asked_for_without_a_proto_file(server: Server) -> None:
    code, out, _ = await grpcurl(
        server, "grpc.health.v1.Health/Check", flags=("-d", f'{{"service":"{NAME}"}}')
    )
    assert (code, json.loads(out)) == (0, {"status": "SERVING"})


async def test_a_file_comes_with_all_that_it_rests_on(server: Server) -> None:
    (response,) = await ask(server, Request(file_by_filename="oms/order/v1/order_service.proto"))
    assert files_in(response) == {
        "oms/order/v1/order_service.proto",
        "oms/order/v1/order.proto",
        "oms/common/v1/address.proto",
        "oms/common/v1/money.proto",
        "google/protobuf/timestamp.proto",
    }


@pytest.mark.parametrize(
    "symbol",
    [
        "oms.orchestrator.v1.OrderProcessService",
        "oms.orchestrator.v1.OrderProcessService.WatchOrderProcess",
        "oms.orchestrator.v1.GetOrderProcessRequest",
        "oms.orchestrator.v1.GetOrderProcessRequest.key",
        "oms.orchestrator.v1.GetOrderProcessRequest.order_id",
    ],
)
async def test_a_file_is_found_by_every_name_in_it(server: Server, symbol: str) -> None:
    (response,) = await ask(server, Request(file_containing_symbol=symbol))
    assert "oms/orchestrator/v1/order_process_service.proto" in files_in(response)


async def test_a_file_is_found_by_the_values_of_its_enums(server: Server) -> None:
    (response,) = await ask(
        server, Request(file_containing_symbol="oms.order.v1.ORDER_STATE_PENDING")
    )
    assert "oms/order/v1/order.proto" in files_in(response)


async def test_what_is_not_known_is_answered_and_the_stream_goes_on(server: Server) -> None:
    responses = await ask(
        server,
        Request(file_by_filename="no/such.proto"),
        Request(file_containing_symbol="no.such.Symbol"),
        Request(file_containing_symbol=""),
        Request(all_extension_numbers_of_type="no.such.Type"),
        Request(
            file_containing_extension=reflection_pb2.ExtensionRequest(
                containing_type="oms.order.v1.Order", extension_number=7
            )
        ),
        Request(),
        Request(all_extension_numbers_of_type="oms.order.v1.Order", host="here"),
    )
    codes = [it.error_response.error_code for it in responses]
    assert codes == [5, 5, 5, 5, 5, 3, 0]
    last = responses[-1]
    assert last.all_extension_numbers_response.base_type_name == "oms.order.v1.Order"
    assert last.valid_host == last.original_request.host == "here"


async def test_newer_clients_find_reflection_under_its_newer_name(server: Server) -> None:
    (response,) = await ask(
        server, Request(list_services="*"), service="grpc.reflection.v1.ServerReflection"
    )
    assert NAME in [it.name for it in response.list_services_response.service]
