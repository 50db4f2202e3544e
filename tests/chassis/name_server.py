"""A name server on 127.0.0.1: every name stands for the addresses that it was given."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

_A, _IN, _TTL_SECONDS = 1, 1, 1
_HEADER_BYTES = 12
_TYPE_AND_CLASS_BYTES = 4
# An answer, authoritative, without an error; and the name of the answer is that of the question.
_ANSWER, _SAME_NAME = 0x8580, b"\xc0\x0c"


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for an IPv4 address; there are no others."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self.port = 0
        self._send: Callable[[bytes, Any], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.port = int(transport.get_extra_info("sockname")[1])
        self._send = cast("asyncio.DatagramTransport", transport).sendto

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        name_ends = data.index(b"\0", _HEADER_BYTES) + 1
        (kind,) = struct.unpack_from(">H", data, name_ends)
        addresses = self.addresses if kind == _A else []
        answers = b"".join(
            _SAME_NAME + struct.pack(">HHIH", _A, _IN, _TTL_SECONDS, 4) + socket.inet_aton(it)
            for it in addresses
        )
        question = data[_HEADER_BYTES : name_ends + _TYPE_AND_CLASS_BYTES]
        header = data[:2] + struct.pack(">HHHHH", _ANSWER, 1, len(addresses), 0, 0)
        self._send(header + question + answers, addr)


@asynccontextmanager
async def name_server(*addresses: str) -> AsyncIterator[NameServer]:
    """One that runs."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(addresses), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
