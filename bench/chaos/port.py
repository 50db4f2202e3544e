"""Ports that stay ours while the server behind them is down.

Invariant: between `Port()` and `close` no other user of this module is given the same port.
Must never: take a port of the range from which the kernel serves outgoing connections: while a
server is down, such a connection could take its port, even one of a client that dials that very
server.
"""

import itertools
import os
import random
import socket

# Below what Linux (32768 and up) and the BSDs (49152 and up) use for outgoing connections.
_LOW, _HIGH = 20_000, 32_000


class Port:
    """A free TCP port of 127.0.0.1.

    It is kept by a UDP socket on the same number: the two kinds do not clash.
    """

    def __init__(self) -> None:
        start = random.Random(os.urandom(8)).randrange(_LOW, _HIGH)
        for number in itertools.chain(range(start, _HIGH), range(_LOW, start)):
            keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                keeper.bind(("127.0.0.1", number))
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
            except OSError:
                keeper.close()
                continue
            self._keeper = keeper
            self.number = number
            return
        raise OSError(f"no free port from {_LOW} to {_HIGH}")

    @property
    def address(self) -> str:
        """Where it is, as a server listens and a client dials."""
        return f"127.0.0.1:{self.number}"

    def close(self) -> None:
        """Gives the port back."""
        self._keeper.close()
