"""`python -m chassis.probe HOST:PORT…`: asks servers how they are, for a container's health check.

Invariant: the exit code is 0 exactly when one of the servers answered SERVING; every other end has
a line on stderr that says why. Several addresses are for an image that may run any of several
servers, each on a port of its own. It must never wait longer than it was told to.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final, cast

import grpc
from grpc_health.v1 import health_pb2

_TIMEOUT_SECONDS: Final = 3.0
_TIMEOUT_SECONDS_MAX: Final = 3_600.0
_TOLD_MAX: Final = 200


def main(argv: Sequence[str]) -> int:
    """Asks, says what is wrong, and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m chassis.probe",
        description="Exits 0 when one of the servers says SERVING; says why when none does.",
        allow_abbrev=False,
    )
    parser.add_argument("addresses", nargs="+", metavar="HOST:PORT", help="Whom to ask.")
    parser.add_argument(
        "--service",
        default="",
        metavar="NAME",
        help="What to ask for: a service by its full name, or liveness. Default: the whole server.",
    )
    parser.add_argument(
        "--timeout-seconds",
        type=_seconds,
        default=_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="How long each may take to answer. Default: %(default)s",
    )
    told = parser.parse_args(argv)
    wrong = []
    for address in told.addresses:
        why = ask(address, service=told.service, timeout_seconds=told.timeout_seconds)
        if why is None:
            return 0
        wrong.append(f"{address}: {why}")
    sys.stderr.write("\n".join(wrong) + "\n")
    return 1


def ask(address: str, *, service: str, timeout_seconds: float) -> str | None:
    """Why the server cannot be called SERVING; None when it says that it is."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_seconds)
        except grpc.RpcError as error:
            call = cast("grpc.Call", error)
            return f"{call.code().name}, {' '.join(str(call.details()).split())[:_TOLD_MAX]}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return f"{service or 'the server'} is {_name(answer.status)}"


def _name(status: int) -> str:
    known = health_pb2.HealthCheckResponse.ServingStatus
    return known.Name(status) if status in known.values() else str(status)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _TIMEOUT_SECONDS_MAX:
        raise argparse.ArgumentTypeError(
            f"must be more than 0 and at most {_TIMEOUT_SECONDS_MAX:g} seconds, not {text[:50]!r}"
        )
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
