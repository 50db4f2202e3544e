"""The simulated services say what the real ones say."""

from collections.abc import Mapping
from typing import Any

import pytest

import delivery_svc.servicer
import order_svc.servicer
import payment_svc.servicer
from bench.simulator.orders.desks import DELIVERY_REFUSALS, ORDER_REFUSALS
from bench.simulator.orders.payment_desk import REFUSALS
from chassis.faults import CODES
from orchestrator.saga.code import Code


@pytest.mark.parametrize(
    ("simulated", "real"),
    [
        (ORDER_REFUSALS, order_svc.servicer._FAULTS),
        (DELIVERY_REFUSALS, delivery_svc.servicer._FAULTS),
        (REFUSALS, payment_svc.servicer._FAULTS),
    ],
)
def test_a_refusal_has_the_code_and_the_reason_that_the_servicer_gives(
    simulated: Mapping[Any, tuple[Code, str]], real: Mapping[Any, tuple[Any, str, str]]
) -> None:
    assert set(simulated) == set(real)
    for refusal, (fault, reason, _) in real.items():
        assert (Code(CODES[fault].value[0]), reason) == simulated[refusal]
