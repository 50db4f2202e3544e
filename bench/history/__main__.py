"""`python -m bench.history`: what a long history costs, in pages."""

import argparse
import asyncio
import sys

import structlog

from bench.history.allowance import Line
from bench.history.report import table, traffic_table
from bench.history.run import look_at_both, make
from bench.history.touches import Explainer, Plans
from bench.history.traffic import IN_PLACE_MIN, claims_under_traffic, grew, in_place
from bench.postgres import PostgresServer

EXIT_GROWS = 1
SHORT = 10_000
# A page that nobody has written to for a while is not vacuumed in the midst of a look.
SETTINGS = (("autovacuum", "off"), ("shared_buffers", "512MB"), ("max_wal_size", "8GB"))


def main() -> int:
    """Runs once. Returns the exit code: 1 where anything costs more on the longer history."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--processes", type=_count, default=1_000_000, help="settled (1000000)")
    parser.add_argument("--traffic", type=int, default=20_000, help="that follow (20000)")
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    server = PostgresServer(durable=False, settings=SETTINGS)
    try:
        server.start()
        return asyncio.run(_run(server, settled=given.processes, traffic=given.traffic))
    except KeyboardInterrupt:
        return 130
    finally:
        server.close()


async def _run(server: PostgresServer, *, settled: int, traffic: int) -> int:
    _say(f"making logs with {SHORT:,} and {settled:,} settled processes ...")
    short = await make(server, settled=SHORT)
    long = await make(server, settled=settled, say=_say)
    lines: dict[Plans, list[Line]] = {}
    for plans in Plans:
        _say(f"looking, with {plans} plans ...")
        lines[plans] = await look_at_both(server, short, long, plans)
    print(*table(lines, settled_short=SHORT, settled_long=settled), sep="\n")
    _say("traffic ...")
    claims = await claims_under_traffic(long.where, Explainer(), processes=traffic)
    share = in_place(long.where)
    print("", *traffic_table(claims, processes=traffic, in_place=share), sep="\n")
    grown = [it for of_plans in lines.values() for it in of_plans if not it.holds]
    if not grown and not grew(claims) and share >= IN_PLACE_MIN:
        return 0
    print("a long history costs more than a short one", file=sys.stderr)
    return EXIT_GROWS


def _count(text: str) -> int:
    number = int(text)
    if number < SHORT:
        raise argparse.ArgumentTypeError(f"must be at least {SHORT:,}, what it is compared with")
    return number


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
