"""The real grpcurl, with no proto file at hand, against the four servers."""

import json

import grpc
import pytest

from tests.system.harness.command import GRPCURL_FAILED, Finished, grpcurl
from tests.system.harness.requests import fresh
from tests.system.harness.service import SERVICES
from tests.system.harness.system import System

START = "oms.orchestrator.v1.OrderProcessService/StartOrderProcess"
WATCH = "oms.orchestrator.v1.OrderProcessService/WatchOrderProcess"
GET = "oms.orchestrator.v1.OrderProcessService/GetOrderProcess"
LIST = "oms.orchestrator.v1.OrderProcessService/ListOrderProcesses"
# As the README has it, and whoever tries the system pastes it.
PASTED = (
    '{"request_id":"r1","customer_id":"c1","items":[{"sku":"BOOK","quantity":2,'
    '"unit_price":{"currency_code":"USD","minor_units":"1250"}}],'
    '"payment_method":"pm_card_visa","delivery_address":{"recipient":"Ada",'
    '"lines":["1 Market St"],"locality":"San Francisco","postal_code":"94105",'
    '"country_code":"US"}}'
)
HOSTED = [(name, hosted) for name, (_, all_hosted) in SERVICES.items() for hosted in all_hosted]


def at(system: System, name: str) -> str:
    return next(it.address for it in system.services if it.name == name)


def pasted(request_id: str, *, quantity: int = 2) -> str:
    changed = json.loads(PASTED)
    changed["request_id"] = request_id
    changed["items"][0]["quantity"] = quantity
    return json.dumps(changed)


def succeeded(finished: Finished) -> Finished:
    assert 0 == finished.exit_code, finished.err
    return finished


@pytest.mark.parametrize(("name", "hosted"), HOSTED)
async def test_a_server_lists_what_it_hosts(system: System, name: str, hosted: str) -> None:
    listed = succeeded(await grpcurl(at(system, name), "list")).out.split()
    assert {hosted, "grpc.health.v1.Health"} <= set(listed)
    assert any(it.startswith("grpc.reflection.") for it in listed)


@pytest.mark.parametrize(("name", "hosted"), HOSTED)
async def test_a_server_describes_its_service_with_the_comments_of_the_contract(
    system: System, name: str, hosted: str
) -> None:
    described = succeeded(await grpcurl(at(system, name), "describe", hosted)).out
    assert "// INVALID_ARGUMENT / INVALID_REQUEST:" in described
    assert "rpc " in described


async def test_the_fields_of_a_message_are_described_too(system: System) -> None:
    described = succeeded(
        await grpcurl(
            at(system, "orchestrator"),
            "describe",
            "oms.orchestrator.v1.StartOrderProcessRequest",
        )
    ).out
    assert "// The caller's own id of this request, and its idempotency key." in described


@pytest.mark.parametrize("name", SERVICES)
async def test_a_server_says_that_it_is_serving(system: System, name: str) -> None:
    answers = [
        succeeded(
            await grpcurl(
                "-d",
                json.dumps({"service": hosted}),
                at(system, name),
                "grpc.health.v1.Health/Check",
            )
        ).json
        for hosted in ("", *SERVICES[name][1])
    ]
    assert [{"status": "SERVING"}] * len(answers) == answers


async def test_the_health_of_a_service_nobody_hosts_is_not_found(system: System) -> None:
    finished = await grpcurl(
        "-d", '{"service":"oms.Nobody"}', at(system, "order"), "grpc.health.v1.Health/Check"
    )
    assert GRPCURL_FAILED + grpc.StatusCode.NOT_FOUND.value[0] == finished.exit_code


async def test_an_order_that_is_pasted_is_completed_and_pasted_again_is_the_same_process(
    system: System,
) -> None:
    orchestrator = at(system, "orchestrator")
    first = succeeded(await grpcurl("-d", PASTED, orchestrator, START)).json["process"]
    again = succeeded(await grpcurl("-d", PASTED, orchestrator, START)).json["process"]
    assert "ORDER_PROCESS_STATE_COMPLETED" == first["state"]
    assert {"currencyCode": "USD", "minorUnits": "2500"} == first["total"]
    assert first == again


async def test_a_request_id_with_other_content_is_refused_with_details_that_can_be_read(
    system: System,
) -> None:
    orchestrator, request_id = at(system, "orchestrator"), fresh("req")
    succeeded(await grpcurl("-d", pasted(request_id), orchestrator, START))
    refused = await grpcurl(
        "-format-error", "-d", pasted(request_id, quantity=3), orchestrator, START
    )
    assert GRPCURL_FAILED + grpc.StatusCode.ALREADY_EXISTS.value[0] == refused.exit_code
    error = json.loads(refused.err[refused.err.index("{") :])
    assert grpc.StatusCode.ALREADY_EXISTS.value[0] == error["code"]
    details = {it["@type"].rpartition("/")[2]: it for it in error["details"]}
    info = details["google.rpc.ErrorInfo"]
    assert ("REQUEST_ID_REUSED", "oms") == (info["reason"], info["domain"])


async def test_every_offending_field_is_named_in_details_that_can_be_read(system: System) -> None:
    refused = await grpcurl(
        "-format-error", "-d", '{"request_id":"r2"}', at(system, "orchestrator"), START
    )
    assert GRPCURL_FAILED + grpc.StatusCode.INVALID_ARGUMENT.value[0] == refused.exit_code
    error = json.loads(refused.err[refused.err.index("{") :])
    details = {it["@type"].rpartition("/")[2]: it for it in error["details"]}
    violations = details["google.rpc.BadRequest"]["field_violations"]
    named = {it["field"] for it in violations}
    assert {"customer_id", "items", "payment_method", "delivery_address"} == named


async def test_a_watch_streams_the_whole_history_and_ends(system: System) -> None:
    orchestrator = at(system, "orchestrator")
    placed = succeeded(await grpcurl("-d", pasted(fresh("req")), orchestrator, START)).json
    wanted = json.dumps({"process_id": placed["process"]["processId"]})
    history = succeeded(await grpcurl("-d", wanted, orchestrator, WATCH)).json_stream
    kinds = [it["event"]["kind"].removeprefix("ORDER_PROCESS_EVENT_KIND_") for it in history]
    attempts = ["ATTEMPT_BEGAN", "ATTEMPT_ENDED"] * 5
    assert ["STARTED", *attempts, "COMPLETED"] == kinds
    assert [str(number) for number in range(1, 13)] == [it["event"]["revision"] for it in history]
    assert placed["process"] == history[-1]["process"]


async def test_a_field_nobody_knows_is_ignored(system: System) -> None:
    with_more = json.loads(pasted(fresh("req"))) | {"gift_wrapping": "silver"}
    finished = await grpcurl(
        "-allow-unknown-fields", "-d", json.dumps(with_more), at(system, "orchestrator"), START
    )
    assert "ORDER_PROCESS_STATE_COMPLETED" == succeeded(finished).json["process"]["state"]


@pytest.mark.parametrize("key", ["processId", "requestId", "orderId"])
async def test_a_process_is_found_by_any_of_its_keys(system: System, key: str) -> None:
    orchestrator = at(system, "orchestrator")
    placed = succeeded(await grpcurl("-d", pasted(fresh("req")), orchestrator, START)).json
    asked = json.dumps({key: placed["process"][key]})
    found = succeeded(await grpcurl("-d", asked, orchestrator, GET)).json
    assert placed == found


async def test_lists_are_read_page_by_page(system: System) -> None:
    orchestrator, customer = at(system, "orchestrator"), fresh("cust")
    placed = []
    for _ in range(3):
        content = json.loads(pasted(fresh("req"))) | {"customer_id": customer}
        answer = succeeded(await grpcurl("-d", json.dumps(content), orchestrator, START)).json
        placed.append(answer["process"]["processId"])
    first = await grpcurl(
        "-d", json.dumps({"customer_id": customer, "page_size": 2}), orchestrator, LIST
    )
    rest = await grpcurl(
        "-d",
        json.dumps(
            {
                "customer_id": customer,
                "page_size": 2,
                "page_token": succeeded(first).json["nextPageToken"],
            }
        ),
        orchestrator,
        LIST,
    )
    pages = [succeeded(it).json for it in (first, rest)]
    assert [placed[2:0:-1], placed[:1]] == [
        [it["processId"] for it in page["processes"]] for page in pages
    ]
    assert "nextPageToken" not in pages[1]
