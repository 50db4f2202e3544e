"""`python -m bench.chaos`: kills, stops and cuts while orders pour in, then audits.

With `--orchestrators` or `--participants` there are several replicas on one PostgreSQL; with
`--rolling` they are drained and restarted one after the other instead.
"""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from bench.chaos.layout import Layout
from bench.chaos.report import again, table
from bench.chaos.rolling import rolling
from bench.chaos.run import Options, Result, run, storm
from bench.chaos.service import WillNotRun

EXIT_VIOLATIONS = 1
EXIT_INTERRUPTED = 130
STORM_LEASE_SECONDS = 2.0
# The product's own: nobody is to be taken for dead who is only drained.
ROLLING_LEASE_SECONDS = 10.0


def main() -> int:
    """Runs once. Returns the exit code: 1 where anything is not as it should be."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="oms-chaos-"))
    what = f"{options.rounds} rounds" if options.rounds else f"{options.kills} kills"
    _say(f"{options.orders:,} orders, {what}, seed {options.seed}, in {folder}")
    try:
        # Not uvloop: it forks, and gRPC's threads would be in its way; asyncio uses vfork.
        result = asyncio.run(_run(options, folder))
    except WillNotRun as trouble:
        print(trouble, file=sys.stderr)
        print(f"Kept with all logs: {folder}; seed {options.seed}", file=sys.stderr)
        return EXIT_VIOLATIONS
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(folder)
        return EXIT_INTERRUPTED
    if not result.findings:
        shutil.rmtree(folder)
    print(*table(result), sep="\n")
    if not result.findings:
        return 0
    print(again(result, folder), file=sys.stderr)
    return EXIT_VIOLATIONS


async def _run(options: Options, folder: Path) -> Result:
    """The run, which SIGTERM and SIGHUP end as Ctrl-C does: nothing is left behind."""
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    return await run(options, folder, _say, rolling if options.rounds else storm)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--orders", type=_count, default=5_000, help="how many (5000)")
    parser.add_argument("--seed", type=int, help="of everything that is drawn (a new one)")
    parser.add_argument("--kills", type=int, help="kill -9 during the load (8 to 48)")
    parser.add_argument("--pauses", type=int, help="SIGSTOP and SIGCONT (a third)")
    parser.add_argument("--concurrency", type=_count, default=64, help="callers at once (64)")
    parser.add_argument("--orchestrators", type=_count, default=1, help="how many replicas (1)")
    parser.add_argument("--participants", type=_count, default=1, help="replicas of each (1)")
    parser.add_argument("--restarts", type=int, help="of PostgreSQL (3, where there is one)")
    parser.add_argument("--rolling", type=_count, metavar="ROUNDS", help="drain, and strike nobody")
    given = parser.parse_args()
    layout = Layout(
        orchestrators=given.orchestrators,
        participants=given.participants,
        lease_seconds=ROLLING_LEASE_SECONDS if given.rolling else STORM_LEASE_SECONDS,
    )
    if not layout.shared and (given.restarts or given.rolling):
        parser.error("--restarts and --rolling need --orchestrators or --participants above 1")
    # A small load gets fewer, or it would be over before anything could be done.
    kills = min(48, max(8, given.orders // 25)) if given.kills is None else given.kills
    return Options(
        orders=given.orders,
        seed=random.SystemRandom().randrange(10**6) if given.seed is None else given.seed,
        kills=kills,
        pauses=kills // 3 if given.pauses is None else given.pauses,
        restarts=(3 if layout.shared else 0) if given.restarts is None else given.restarts,
        rounds=given.rolling or 0,
        layout=layout,
        concurrency=given.concurrency,
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
