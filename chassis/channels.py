"""Channels to other servers.

Invariant: a channel makes the attempts that its caller makes, and no others: gRPC's own retries are
off. Must never: be opened at import, nor left open.
"""

from typing import Final

import grpc
import grpc.aio

# A list of 1,000 with the longest addresses is larger than the 4 MiB that are the default.
RECEIVED_BYTES_MAX: Final = 16 * 1024 * 1024


def open_channel(target: str, *, message_bytes_max: int = RECEIVED_BYTES_MAX) -> grpc.aio.Channel:
    """Opens an insecure channel; it connects in the background. Whoever opens it closes it."""
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
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            # Each channel has its own connection: none waits for a backoff that another one began.
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )
