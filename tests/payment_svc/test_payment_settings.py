"""What the payment service can be told, and what it says to what makes no sense."""

import pytest

from chassis.settings import load
from payment_svc.domain import ASK_LEASE_US
from payment_svc.settings import PaymentSettings


def test_every_default_works_for_somebody_who_set_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMS_PAYMENT_LISTEN", raising=False)
    settings = load(PaymentSettings, [], program="payment_svc", description="Payments.")
    assert "127.0.0.1:50053" == settings.payment_listen
    assert "sqlite:///var/payment.db" == settings.payment_database_url
    assert "sqlite:///var/gateway.db" == settings.payment_gateway_database_url
    assert 90.0 == settings.payment_sandbox_slow_seconds


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--payment-settle-interval-seconds=0", "OMS_PAYMENT_SETTLE_INTERVAL_SECONDS"),
        ("--payment-settle-interval-seconds=nan", "OMS_PAYMENT_SETTLE_INTERVAL_SECONDS"),
        ("--payment-gateway-timeout-seconds=600", "OMS_PAYMENT_GATEWAY_TIMEOUT_SECONDS"),
        ("--payment-sandbox-slow-seconds=-1", "OMS_PAYMENT_SANDBOX_SLOW_SECONDS"),
        ("--payment-gateway-database-url=nowhere", "OMS_PAYMENT_GATEWAY_DATABASE_URL"),
        ("--payment-nothing=1", "--payment-nothing"),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_one_line(
    capsys: pytest.CaptureFixture[str], flag: str, named: str
) -> None:
    with pytest.raises(SystemExit) as left:
        load(PaymentSettings, [flag], program="payment_svc", description="Payments.")
    assert 2 == left.value.code
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_one_ask_always_ends_before_the_loop_takes_it_for_forgotten() -> None:
    longest = PaymentSettings(payment_gateway_timeout_seconds=50.0)
    assert longest.payment_gateway_timeout_seconds * 1_000_000 < ASK_LEASE_US
