"""Become another program that dies with its parent, even when the parent is killed outright.

It may open as many files as the system lets it.

usage: python leash.py PARENT_PID PROGRAM ARGUMENT...

A process of its own instead of a `preexec_fn`, because running Python between fork and exec in a parent
that has threads (gRPC's) can hang. The kernel's request survives the exec.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_FILES_WITHOUT_LIMIT = 10_240


def hold_leash(parent: int) -> None:
    """Have this process end with that one, its parent; at once, where that has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the leash held
        sys.exit(1)


def raise_file_limit() -> None:
    """Let this process open as many files as the system lets it.

    The usual 1,024 are fewer than the connections that the edge and the broker are made for. Where there is said to be
    no limit (macOS), there is one all the same.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(soft, _FILES_WITHOUT_LIMIT) if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main() -> None:
    """Ask for the leash, then become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    raise_file_limit()
    hold_leash(parent)
    os.execv(program, sys.argv[2:])  # noqa: S606  # becoming the given program is the purpose


if __name__ == "__main__":
    main()
