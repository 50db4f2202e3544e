"""Where the four services are."""

import socket
from pathlib import Path

import pytest

from console.fleet import (
    Fleet,
    check_ports,
    databases_in,
    databases_of,
    default_listens,
    dialled,
    free_ports,
    listens_of,
)
from console.supervisor import CannotRun


def test_the_ports_are_the_designs() -> None:
    assert {
        "orchestrator": "127.0.0.1:50051",
        "order": "127.0.0.1:50052",
        "payment": "127.0.0.1:50053",
        "delivery": "127.0.0.1:50054",
    } == default_listens({})


def test_the_environment_says_where_to_listen_and_to_store() -> None:
    environ = {"OMS_ORDER_LISTEN": "0.0.0.0:7", "OMS_ORDER_DATABASE_URL": "postgresql://db/o"}
    assert "0.0.0.0:7" == default_listens(environ)["order"]
    assert "postgresql://db/o" == databases_of(environ, None, Path("var"))["OMS_ORDER_DATABASE_URL"]


def test_a_folder_that_is_named_wins_over_the_environment() -> None:
    found = databases_of({"OMS_ORDER_DATABASE_URL": "postgresql://db/o"}, Path("/d"), Path("var"))
    assert {
        "OMS_ORDER_DATABASE_URL": "sqlite:////d/order.db",
        "OMS_PAYMENT_DATABASE_URL": "sqlite:////d/payment.db",
        "OMS_PAYMENT_GATEWAY_DATABASE_URL": "sqlite:////d/gateway.db",
        "OMS_DELIVERY_DATABASE_URL": "sqlite:////d/delivery.db",
        "OMS_ORCHESTRATOR_DATABASE_URL": "sqlite:////d/orchestrator.db",
    } == found


def test_each_service_is_told_what_it_needs_and_the_orchestrator_whom_to_dial() -> None:
    fleet = Fleet(listens=listens_of([1, 2, 3, 4]), database_urls=databases_in(Path("var")))
    services = {it.name: it for it in fleet.services({"PATH": "/bin"})}
    assert {
        "PATH": "/bin",
        "OMS_PAYMENT_LISTEN": "127.0.0.1:3",
        "OMS_PAYMENT_DATABASE_URL": "sqlite:///var/payment.db",
        "OMS_PAYMENT_GATEWAY_DATABASE_URL": "sqlite:///var/gateway.db",
    } == services["payment"].environment
    assert {
        "PATH": "/bin",
        "OMS_ORCHESTRATOR_LISTEN": "127.0.0.1:1",
        "OMS_ORCHESTRATOR_DATABASE_URL": "sqlite:///var/orchestrator.db",
        "OMS_ORDER_TARGET": "127.0.0.1:2",
        "OMS_PAYMENT_TARGET": "127.0.0.1:3",
        "OMS_DELIVERY_TARGET": "127.0.0.1:4",
    } == services["orchestrator"].environment


def test_the_orchestrator_stops_before_those_it_needs() -> None:
    fleet = Fleet(listens=listens_of([1, 2, 3, 4]), database_urls=databases_in(Path("var")))
    rounds = {it.name: it.stops_in_round for it in fleet.services({})}
    assert {"orchestrator": 0, "order": 1, "payment": 1, "delivery": 1} == rounds


def test_a_target_in_the_environment_stands() -> None:
    fleet = Fleet(listens=listens_of([1, 2, 3, 4]), database_urls=databases_in(Path("var")))
    (orchestrator,) = [
        it
        for it in fleet.services({"OMS_PAYMENT_TARGET": "payments.internal:443"})
        if it.name == "orchestrator"
    ]
    assert "payments.internal:443" == orchestrator.environment["OMS_PAYMENT_TARGET"]


@pytest.mark.parametrize(
    ("listen", "dials"),
    [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("[::]:1", "127.0.0.1:1"),
        ("*:1", "127.0.0.1:1"),
        ("[::1]:1", "[::1]:1"),
    ],
)
def test_what_listens_everywhere_is_dialled_here(listen: str, dials: str) -> None:
    assert dials == dialled(listen)


def test_free_ports_are_free_and_differ() -> None:
    ports = free_ports()
    assert 4 == len(set(ports))
    check_ports(listens_of(ports))


def test_ports_in_use_are_all_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        ports = [one.getsockname()[1], *free_ports()[:2], two.getsockname()[1]]
        named = rf"{ports[0]} \(orchestrator\), 127.0.0.1:{ports[3]} \(delivery\)"
        with pytest.raises(CannotRun, match=named):
            check_ports(listens_of(ports))


def test_a_port_that_is_drawn_cannot_be_waited_for() -> None:
    with pytest.raises(CannotRun, match="--free-ports"):
        check_ports({"order": "127.0.0.1:0"})
