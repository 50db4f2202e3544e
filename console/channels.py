"""Channels to the services, and how their targets are written.

Invariant: where a target may stand for several servers, calls go to those that say that they serve,
one after the other; so one that stops or dies costs no more than the calls that it was answering. A
target that is the address of one server is dialled as it is: its own answer tells more than its
health. A channel must never try anything again by itself.
"""

import json
import re
from typing import Final

import grpc
import grpc.aio

ORCHESTRATOR_SERVICE: Final = "oms.orchestrator.v1.OrderProcessService"
"""Whose health says whether an orchestrator is called."""

# A page of 1,000 processes is larger than grpc's default of 4 MiB.
_RECEIVED_BYTES_MAX: Final = 64 * 1024 * 1024

_ONE_SERVER: Final = re.compile(r"(?:[0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+")
# The addresses that may follow these, with commas between them.
_ADDRESSES: Final = {
    "ipv4": re.compile(r"(?:\d{1,3}\.){3}\d{1,3}:\d{1,5}"),
    "ipv6": re.compile(r"\[[0-9A-Fa-f:.%]+\]:\d{1,5}"),
}
_NO_NAME: Final = re.compile(r"[,\s]")


def open_channel(target: str, *, service: str | None = None) -> grpc.aio.Channel:
    """An insecure channel that reconnects soon.

    `service` is the full name of the one whose health counts; None: nobody is asked for it.
    """
    return grpc.aio.insecure_channel(
        target,
        options=[
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", _RECEIVED_BYTES_MAX),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # One that stands still is not waited for a minute, which is the default.
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.dns_min_time_between_resolutions_ms", 2_000),
            *([] if _ONE_SERVER.fullmatch(target) else [_balanced(service)]),
        ],
    )


def is_target(text: str) -> bool:
    """Whether gRPC can make something of it: it looks for a host of any name, for ever."""
    scheme, _, rest = text.partition(":")
    address = _ADDRESSES.get(scheme)
    if address is not None:
        return all(address.fullmatch(it) for it in rest.lstrip("/").split(","))
    return bool(text) and not _NO_NAME.search(text)


def _balanced(service: str | None) -> tuple[str, str]:
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if service is not None:
        config["healthCheckConfig"] = {"serviceName": service}
    return ("grpc.service_config", json.dumps(config))
