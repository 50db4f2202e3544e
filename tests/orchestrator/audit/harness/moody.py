"""A payment service with moods, in front of the real one."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from chassis.server import Hosted, Server
from oms.payment.v1.payment_service_pb2_grpc import (
    PaymentServiceServicer,
    add_PaymentServiceServicer_to_server,
)

SERVICE = "oms.payment.v1.PaymentService"
METHODS = ("CreatePayment", "ConfirmPayment", "CancelPayment", "GetPayment", "ListPayments")

Context = grpc.aio.ServicerContext[Any, Any]


class MoodyPayments:
    """Passes on what it is asked, but for methods that it is told to refuse."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self.refuses: dict[str, grpc.StatusCode] = {}
        self.calls: list[str] = []
        self.server = Server(
            listen="127.0.0.1:0",
            hosted=[Hosted(name=SERVICE, add=self._add)],
            drain_grace_seconds=0.0,
            message_bytes_max=4 * 1024 * 1024,
        )

    def _add(self, server: grpc.aio.Server) -> None:
        passing_on = {it: self._passing_on(it, getattr(self._stub, it)) for it in METHODS}
        servicer = type("MoodyServicer", (PaymentServiceServicer,), passing_on)()
        add_PaymentServiceServicer_to_server(servicer, server)

    def _passing_on(
        self, method: str, ask: Callable[..., Awaitable[Any]]
    ) -> Callable[[object, Any, Context], Awaitable[Any]]:
        async def pass_on(_: object, request: Any, context: Context) -> Any:
            self.calls.append(method)
            if (code := self.refuses.get(method)) is not None:
                await context.abort(code, "not in the mood")
            try:
                return await ask(request, timeout=context.time_remaining())
            except grpc.aio.AioRpcError as error:
                await context.abort(
                    error.code(),
                    error.details() or "",
                    tuple(error.trailing_metadata() or ()),
                )

        return pass_on
