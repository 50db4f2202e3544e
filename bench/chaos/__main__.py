"""`python -m bench.chaos`: kills, stops and cuts while orders pour in, then audits."""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from bench.chaos.report import again, table
from bench.chaos.run import Options, Result, run
from bench.chaos.service import WillNotRun

EXIT_VIOLATIONS = 1
EXIT_INTERRUPTED = 130


def main() -> int:
    """Runs once. Returns the exit code: 1 where anything is not as it should be."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="oms-chaos-"))
    _say(f"{options.orders:,} orders, {options.kills} kills, seed {options.seed}, in {folder}")
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
    return await run(options, folder, _say)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--orders", type=_count, default=5_000, help="how many (5000)")
    parser.add_argument("--seed", type=int, help="of everything that is drawn (a new one)")
    parser.add_argument("--kills", type=int, help="kill -9 during the load (8 to 48)")
    parser.add_argument("--pauses", type=int, help="SIGSTOP and SIGCONT (a third)")
    parser.add_argument("--concurrency", type=_count, default=64, help="callers at once (64)")
    given = parser.parse_args()
    # A small load gets fewer, or it would be over before anything could be done.
    kills = min(48, max(8, given.orders // 25)) if given.kills is None else given.kills
    return Options(
        orders=given.orders,
        seed=random.SystemRandom().randrange(10**6) if given.seed is None else given.seed,
        kills=kills,
        pauses=kills // 3 if given.pauses is None else given.pauses,
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
