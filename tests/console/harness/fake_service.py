"""A service that only says that it is SERVING: `fake_service.py NAME ADDRESS DIARY [MOOD]`.

It writes `NAME began` and `NAME ended` into the file DIARY. MOOD is one of:
`stubborn`: it does not heed SIGTERM; `misconfigured`: it exits with 78 and says why;
`late`: it never serves; `talkative`: it writes lines that are hard to pass on.
"""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server


def main() -> None:
    name, address, diary, mood = sys.argv[1], sys.argv[2], Path(sys.argv[3]), [*sys.argv, ""][4]
    # Before anything that takes time, so that no signal comes too early.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    write(diary, f"{name} began")
    if mood == "misconfigured":
        sys.stderr.write(f"{name}: the database is newer than this release\n")
        sys.exit(78)
    if mood == "talkative":
        sys.stdout.write("a line\nno end")
        sys.stdout.write("x" * 200_000 + "\n")
        sys.stdout.buffer.write(b"\xff\x1b[31m\n")
        sys.stdout.flush()
    server = grpc.server(ThreadPoolExecutor(max_workers=2), options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set(
        "",
        HealthCheckResponse.NOT_SERVING if mood == "late" else HealthCheckResponse.SERVING,
    )
    add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    server.start()
    signal.sigwait({signal.SIGTERM})
    while mood == "stubborn":
        signal.pause()
    write(diary, f"{name} ended")
    server.stop(grace=None).wait()


def write(diary: Path, line: str) -> None:
    with diary.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
