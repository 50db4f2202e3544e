"""The orchestrator as a process: `python -m orchestrator`."""

import contextlib
import random
import sys
from typing import Final

from chassis.channels import open_channel
from chassis.clock import SystemClock
from chassis.ids import IdSource
from chassis.sentinel import serve_guarded
from chassis.server import Server, run
from chassis.settings import load
from chassis.telemetry import configure
from orchestrator.action import Action
from orchestrator.assembly import Keeping, Orchestrator, Sharing
from orchestrator.breaker import Breaker
from orchestrator.gate import Gate
from orchestrator.order_process import ORDER_PROCESSES
from orchestrator.participants.books import open_books
from orchestrator.participants.delivery import SERVICE as DELIVERY_SERVICE
from orchestrator.participants.delivery import DeliveryParticipant
from orchestrator.participants.order import SERVICE as ORDER_SERVICE
from orchestrator.participants.order import OrderParticipant
from orchestrator.participants.payment import SERVICE as PAYMENT_SERVICE
from orchestrator.participants.payment import PaymentParticipant
from orchestrator.participants.purgers import open_purgers
from orchestrator.participants.vital_signs import asks_whether_there
from orchestrator.saga.definition import Versions
from orchestrator.saga_log.sql import SqlSagaLog, is_shared
from orchestrator.settings import OrchestratorSettings

PROGRAM: Final = "orchestrator"


async def main(settings: OrchestratorSettings, *, versions: Versions = ORDER_PROCESSES) -> None:
    """Serves until it is told to stop, or can write no more."""
    async with contextlib.AsyncExitStack() as stack:
        url = settings.orchestrator_database_url
        log = await SqlSagaLog.open(url, newest=versions.newest)
        stack.push_async_callback(log.close)
        channels = [
            await stack.enter_async_context(open_channel(target, service=service))
            for target, service in (
                (settings.order_target, ORDER_SERVICE),
                (settings.payment_target, PAYMENT_SERVICE),
                (settings.delivery_target, DELIVERY_SERVICE),
            )
        ]
        order, payment, delivery = channels
        terms = settings.terms()
        clock = SystemClock()
        actions: dict[str, Action] = {}
        gates: dict[str, Gate] = {}
        for participant, name, channel, service in (
            (OrderParticipant, "order", order, ORDER_SERVICE),
            (PaymentParticipant, "payment", payment, PAYMENT_SERVICE),
            (DeliveryParticipant, "delivery", delivery, DELIVERY_SERVICE),
        ):
            breaker = Breaker(
                name,
                clock=clock,
                is_there=asks_whether_there(channel, service),
                window_max=settings.outstanding_max,
            )
            made = participant(channel, outstanding_max=settings.outstanding_max, breaker=breaker)
            actions |= made.actions()
            gates |= dict.fromkeys(made.actions(), breaker)
        orchestrator = Orchestrator(
            log=log,
            actions=actions,
            gates=gates,
            books=open_books(order, payment, delivery),
            clock=clock,
            ids=IdSource(clock),
            random=random.SystemRandom().random,
            policy=settings.policy(),
            process_deadline_seconds=settings.process_deadline_seconds,
            return_window_seconds=settings.return_window_seconds,
            in_flight_max=settings.in_flight_max,
            sharing=Sharing(log=log, lease_seconds=settings.lease_seconds)
            if is_shared(url)
            else None,
            keeping=None
            if terms is None
            else Keeping(terms=terms, purgers=open_purgers(order, payment, delivery)),
            versions=versions,
        )
        server = Server(
            listen=settings.orchestrator_listen,
            hosted=orchestrator.hosted(),
            drain_grace_seconds=settings.drain_grace_seconds,
            message_bytes_max=settings.message_bytes_max,
            connection_age_seconds_max=settings.connection_age_seconds_max,
        )
        orchestrator.start()
        # For a server that never came up, or was told to stop at once.
        stack.push_async_callback(orchestrator.drain, 0)
        await serve_guarded(
            server,
            failed=log.failed,
            stores=log.stores,
            on_drain=lambda: orchestrator.drain(settings.drain_grace_seconds),
        )


if __name__ == "__main__":
    settings = load(
        OrchestratorSettings,
        sys.argv[1:],
        program=PROGRAM,
        description="Drives orders through the order, payment and delivery services, over gRPC.",
    )
    configure(service=PROGRAM, level=settings.log_level, format=settings.log_format)
    run(lambda: main(settings))
