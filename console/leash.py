"""Runs a command that cannot outlive the process which started it.

Invariant: when the supervisor dies, however it dies, the kernel kills the service in the same
moment (Linux: PR_SET_PDEATHSIG, which an exec keeps). A pipe that the service would have to read
was the other way: it needs a thread inside each service, and does nothing for one that hangs or
is stopped. The signal is SIGKILL: nobody is left to read a drain's logs, and what was accepted
survives a crash by design. On other systems there is no such thing, and the command is simply
run: after a `kill -9` of the supervisor the services there have to be stopped by hand.

Run by its path, with `python -I -S leash.py PARENT_PID COMMAND…`: it must never import anything
but the standard library, for it starts before each service does.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ties this process to the parent that is named, then becomes the command."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        tied = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if tied != 0:
            sys.exit(f"cannot tie the service to its supervisor: {os.strerror(ctypes.get_errno())}")
        if os.getppid() != parent:
            sys.exit("the supervisor died before the service began")
    os.execv(command[0], command)  # noqa: S606 - to become another program is what this one is for


if __name__ == "__main__":
    main(sys.argv[1:])
