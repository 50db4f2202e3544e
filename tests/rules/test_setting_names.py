"""No setting of one service reads like a misspelt one of another."""

import pytest

from chassis.settings import Settings, describe, misspelt
from delivery_svc.settings import DeliverySettings
from orchestrator.settings import OrchestratorSettings
from order_svc.settings import OrderSettings
from payment_svc.settings import PaymentSettings

CLASSES = (OrchestratorSettings, OrderSettings, PaymentSettings, DeliverySettings)


@pytest.mark.parametrize("cls", CLASSES)
def test_what_is_set_for_all_services_makes_none_of_them_complain(cls: type[Settings]) -> None:
    everything = {doc.env for each in CLASSES for doc in describe(each)} | {"OMS_TARGET"}
    assert [] == misspelt(cls, everything)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_setting_with_a_letter_missing_is_told(cls: type[Settings]) -> None:
    # Of the shortest, a letter is a tenth.
    for doc in describe(cls):
        assert 1 == len(misspelt(cls, [doc.env[:6] + doc.env[7:]])), doc.env
