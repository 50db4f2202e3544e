"""Channels to other servers.

Invariant: a channel makes the attempts that its caller makes, and no others: gRPC's own retries are
off. Where its target may stand for several servers its calls go to one after the other (round
robin), and to none that says NOT_SERVING for the service that the channel is for; where none serves
they fail at once. Must never: be opened at import, nor left open.

A target that is the address of one server is dialled as it is, whatever its health says: there is
nobody to turn to, and its own answer tells more than "unhealthy". A server without the health
service counts as healthy; one that has it, but does not know the service by its full name, does
not.

Names are looked up again when a connection ends, so a replica that came later is found when the
next one does: servers end each after a while, see chassis.server.
"""

import json
import re
from typing import Final

import grpc
import grpc.aio

# A list of 1,000 with the longest addresses is larger than the 4 MiB that are the default.
RECEIVED_BYTES_MAX: Final = 16 * 1024 * 1024

PING_TIMEOUT_MS: Final = 10_000
"""A server that owes an answer to a ping for so long is gone, or stands still."""

_ONE_SERVER: Final = re.compile(r"(?:[0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+")


def open_channel(
    target: str, *, service: str | None = None, message_bytes_max: int = RECEIVED_BYTES_MAX
) -> grpc.aio.Channel:
    """Opens an insecure channel; it connects in the background. Whoever opens it closes it.

    `service` is the full name of the service that is called over it, whose health counts; None: the
    servers' health is not asked for.
    """
    return grpc.aio.insecure_channel(
        target,
        options=[
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", message_bytes_max),
            ("grpc.max_send_message_length", -1),
            # After a restart of the other side: back within a second.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # In spite of its name this bounds one try to connect, which would be 20 s.
            ("grpc.min_reconnect_backoff_ms", 5_000),
            # Within what chassis.server allows: a peer gone without a word is noticed in 30 s.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # The pings that measure the bandwidth take the keepalive's place where calls come thick
            # and fast, and would be waited for for a minute.
            ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            # Each channel has its own connection: none waits for a backoff that another one began.
            ("grpc.use_local_subchannel_pool", 1),
            # How a channel balances is said here, and not by whoever writes the DNS records.
            ("grpc.service_config_disable_resolution", 1),
            # Half a minute unless told: for so long a name would lead to those that are gone.
            ("grpc.dns_min_time_between_resolutions_ms", 2_000),
            *([] if is_one_server(target) else [_balanced(service)]),
        ],
    )


def is_one_server(target: str) -> bool:
    """Whether a target is an address, and so can be one server only."""
    return _ONE_SERVER.fullmatch(target) is not None


def _balanced(service: str | None) -> tuple[str, str]:
    """Round robin over the servers that say that they serve."""
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if service is not None:
        config["healthCheckConfig"] = {"serviceName": service}
    return ("grpc.service_config", json.dumps(config))
