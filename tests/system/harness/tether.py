"""Runs a command that dies with whoever started it: `python tether.py PARENT COMMAND...`.

Invariant: from before the command's first instruction on, the death of the process PARENT kills it,
however PARENT dies.
Must never: import anything of ours; it is run by its path, before each process of a test.

The kernel sends the signal when the *thread* that forked ends, so processes are started from the
main thread. Where there is no prctl (not Linux) the command runs untethered, and the fixtures alone
end it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties itself to the parent, then becomes the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the tie was made
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the command comes from the harness


if __name__ == "__main__":
    main()
