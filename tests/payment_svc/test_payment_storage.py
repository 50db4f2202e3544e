"""A disk that fails under the payments: the gateway is asked nothing that is not stored."""

from pathlib import Path

import grpc
import pytest

from oms.payment.v1 import payment_pb2 as m
from payment_svc.sandbox.ledger import Balance, Kind
from tests.chassis.storage.disk import Disk, Fault
from tests.payment_svc.harness.desk import AMOUNT, Desk, files, refusal

NOTHING = Balance(held=0, captured=0, released=0)
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not written at once is soon given up."""
    monkeypatch.setattr("chassis.group_commit.TRYING_SECONDS", 0.05)


# A full disk has room for something as small as a payment.
@pytest.mark.parametrize("fault", [it for it in Fault if it is not Fault.FULL])
async def test_a_payment_that_is_not_stored_is_not_asked_for_at_the_gateway(
    tmp_path: Path, fault: Fault
) -> None:
    async with Desk(files(tmp_path)) as desk:
        disk = Disk(desk.database.engine, tmp_path / "payment.db")
        disk.fail(fault)
        error = await refusal(desk.create("pay_1"))
        assert (error.code, error.reason) == UNAVAILABLE
        assert 0 == desk.gateway.count("pay_1", Kind.HOLD)
        assert NOTHING == desk.balance("pay_1")
        disk.heal()
        assert m.PAYMENT_STATE_HELD == (await desk.create("pay_1")).state

        disk.fail(fault)
        error = await refusal(desk.confirm("pay_1"))
        assert (error.code, error.reason) == UNAVAILABLE
        assert 0 == desk.gateway.count("pay_1", Kind.CAPTURE)
        disk.heal()
        assert m.PAYMENT_STATE_CONFIRMED == (await desk.confirm("pay_1")).state
        assert 1 == desk.gateway.count("pay_1", Kind.CAPTURE)
        assert Balance(held=AMOUNT, captured=AMOUNT, released=0) == desk.balance("pay_1")
