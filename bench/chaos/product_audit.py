"""The product's own audit, run as its users run it: `oms audit`, judged by its exit code.

Invariant: whatever it ends with but 0 is a finding, with what it said. Must never: replace the
judgement of `audit`, which shares nothing with the product.
"""

import asyncio
import os
import sys
from typing import Final

from bench.chaos.audit import Finding, Rule
from bench.chaos.fleet import Fleet
from bench.chaos.layout import ORCHESTRATOR
from bench.chaos.service import environment_of

_SECONDS_MAX: Final = 300.0
_SHOWN_MAX: Final = 20
_SAID_MAX: Final = 4_000


async def ask_product(fleet: Fleet) -> list[Finding]:
    """What `oms audit` finds; nothing where it ends with 0."""
    target = fleet.of(ORCHESTRATOR)[0].port.address
    command = (sys.executable, "-m", "console", "--target", target, "audit")
    child = await asyncio.create_subprocess_exec(
        *(*command, "--limit", str(_SHOWN_MAX)),
        cwd=fleet.folder,
        env=environment_of({}, os.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_SECONDS_MAX):
            said, _ = await child.communicate()
    except TimeoutError:
        return [_finding(f"did not end within {_SECONDS_MAX:g} s")]
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode == 0:
        return []
    return [_finding(f"exit code {child.returncode}\n{said.decode(errors='replace')[:_SAID_MAX]}")]


def _finding(found: str) -> Finding:
    return Finding(rule=Rule.PRODUCT_AUDIT, subject="oms audit", found=found)
