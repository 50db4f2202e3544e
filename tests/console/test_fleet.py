"""Where the four services are."""

import socket
from pathlib import Path

import pytest

from console.fleet import (
    Fleet,
    check_ports,
    check_shared,
    databases_in,
    databases_of,
    default_listens,
    dialled,
    free_ports,
    listens_of,
    ports_from,
    schemas_in,
)
from console.supervisor import CannotRun
from console.terminal import BadInput


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
    assert 8 == len(set(free_ports(2)))


def test_ports_in_use_are_all_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        ports = [one.getsockname()[1], *free_ports()[:2], two.getsockname()[1]]
        named = rf"{ports[0]} \(orchestrator\), 127.0.0.1:{ports[3]} \(delivery\)"
        with pytest.raises(CannotRun, match=named):
            check_ports(listens_of(ports))


def test_a_port_that_is_drawn_cannot_be_waited_for() -> None:
    with pytest.raises(CannotRun, match="--free-ports"):
        check_ports({"order": "127.0.0.1:0"})


def test_replicas_are_numbered_and_ten_ports_apart() -> None:
    assert {
        "orchestrator-1": "127.0.0.1:50051",
        "order-1": "127.0.0.1:50052",
        "payment-1": "127.0.0.1:50053",
        "delivery-1": "127.0.0.1:50054",
        "orchestrator-2": "127.0.0.1:50061",
        "order-2": "127.0.0.1:50062",
        "payment-2": "127.0.0.1:50063",
        "delivery-2": "127.0.0.1:50064",
    } == default_listens({}, 2)


def test_replicas_listen_on_the_host_that_the_environment_names() -> None:
    listens = default_listens({"OMS_ORDER_LISTEN": "0.0.0.0:7000"}, 2)
    assert ("0.0.0.0:7000", "0.0.0.0:7010") == (listens["order-1"], listens["order-2"])
    fleet = Fleet(listens=listens, database_urls={})
    assert "ipv4:127.0.0.1:7000,127.0.0.1:7010" == fleet.target("order")


@pytest.mark.parametrize("listen", ["localhost:7000", "127.0.0.1:65530"])
def test_replicas_that_would_have_no_place_of_their_own_are_bad_input(listen: str) -> None:
    with pytest.raises(BadInput, match=f"OMS_ORDER_LISTEN={listen}"):
        default_listens({"OMS_ORDER_LISTEN": listen}, 2)


def test_the_orchestrators_dial_all_replicas_of_each_participant() -> None:
    fleet = Fleet(
        listens=listens_of(ports_from(7001, 2)), database_urls=schemas_in("postgresql://h/d")
    )
    services = {it.name: it for it in fleet.services({"OMS_DELIVERY_TARGET": "dns:///d:1"})}
    for name, port in (("orchestrator-1", 7001), ("orchestrator-2", 7011)):
        environment = services[name].environment
        assert f"127.0.0.1:{port}" == environment["OMS_ORCHESTRATOR_LISTEN"]
        assert "ipv4:127.0.0.1:7002,127.0.0.1:7012" == environment["OMS_ORDER_TARGET"]
        assert "dns:///d:1" == environment["OMS_DELIVERY_TARGET"]
    assert "127.0.0.1:7012" == services["order-2"].environment["OMS_ORDER_LISTEN"]
    assert ("orchestrator-1", "orchestrator-2") == tuple(
        it.name for it in services.values() if it.stops_in_round == 0
    )


@pytest.mark.parametrize(
    ("listen", "target"),
    [("127.0.0.1:1", "ipv4:127.0.0.1:1,127.0.0.1:11"), ("[::1]:1", "ipv6:[::1]:1,[::1]:11")],
)
def test_a_target_of_several_is_written_as_grpc_reads_it(listen: str, target: str) -> None:
    fleet = Fleet(listens=default_listens({"OMS_ORDER_LISTEN": listen}, 2), database_urls={})
    assert target == fleet.target("order")


def test_each_service_gets_a_schema_and_what_the_url_says_stays() -> None:
    assert {
        "OMS_ORDER_DATABASE_URL": "postgresql://u:p%40@h/d?sslmode=require&schema=oms_order",
        "OMS_PAYMENT_DATABASE_URL": "postgresql://u:p%40@h/d?sslmode=require&schema=oms_payment",
        "OMS_PAYMENT_GATEWAY_DATABASE_URL": (
            "postgresql://u:p%40@h/d?sslmode=require&schema=oms_gateway"
        ),
        "OMS_DELIVERY_DATABASE_URL": "postgresql://u:p%40@h/d?sslmode=require&schema=oms_delivery",
        "OMS_ORCHESTRATOR_DATABASE_URL": (
            "postgresql://u:p%40@h/d?sslmode=require&schema=oms_orchestrator"
        ),
    } == schemas_in("postgresql://u:p%40@h/d?sslmode=require")
    assert (
        "postgresql://h/d?schema=oms_order"
        == (schemas_in("postgresql://h/d")["OMS_ORDER_DATABASE_URL"])
    )


@pytest.mark.parametrize("url", ["sqlite:///var", "postgres://h:secret@d", "postgresql://s ecret"])
def test_a_database_for_all_is_on_postgresql_and_no_password_is_repeated(url: str) -> None:
    with pytest.raises(BadInput, match="--data-dir") as refused:
        schemas_in(url)
    assert "secret" not in str(refused.value)


def test_a_schema_of_ones_own_choice_is_refused() -> None:
    with pytest.raises(BadInput, match="oms_order, oms_payment, oms_gateway"):
        schemas_in("postgresql://h/d?x=1&schema=mine")


def test_what_is_not_on_postgresql_is_named() -> None:
    urls = {**schemas_in("postgresql://h/d"), "OMS_ORDER_DATABASE_URL": "sqlite:///order.db"}
    with pytest.raises(BadInput, match=r"not on PostgreSQL: OMS_ORDER_DATABASE_URL\.$"):
        check_shared(urls, urls)
    check_shared(schemas_in("postgresql://h/d"), {})


def test_settings_that_nobody_set_are_not_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--database-url postgresql:.* alone\.$"):
        check_shared(databases_in(tmp_path), {})


def test_two_that_would_listen_at_the_same_place_are_named() -> None:
    listens = default_listens({"OMS_ORDER_LISTEN": "127.0.0.1:50061"}, 2)
    with pytest.raises(CannotRun, match=r"order-1 and orchestrator-2 .* 127"):
        check_ports(listens)
