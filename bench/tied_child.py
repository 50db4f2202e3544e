"""Runs a command as some user, which cannot outlive the process that started it.

Invariant: on Linux the kernel kills the command in the moment in which the thread that started it
ends. A change of user undoes that: so the tie comes last. Run by its path, with
`python -I -S tied_child.py PARENT_PID UID GID COMMAND…`; without ids it stays who it is. Must
never: import anything but the standard library.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Becomes the user, ties this process to the parent that is named, becomes the command."""
    parent, user, group, *command = arguments
    os.chdir("/")
    if user:
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    if sys.platform == "linux":
        tied = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if tied != 0:
            sys.exit(f"cannot tie it to its parent: {os.strerror(ctypes.get_errno())}")
        if os.getppid() != int(parent):
            sys.exit("the parent died before it began")
    os.execv(command[0], command)  # noqa: S606 - to become another program is what this one is for


if __name__ == "__main__":
    main(sys.argv[1:])
