"""Started as a program: becomes the program in its arguments, which the kernel then ends together with its parent.

`PYTHON -I -S exec_child.py PARENT PROGRAM ARGUMENT...`, where PARENT is the pid of the process that starts it. It has
only the standard library.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2); exec keeps it


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel knew
        sys.exit(1)
    try:
        os.execv(program, sys.argv[2:])
    except OSError as error:
        sys.exit(f"{program} can't be started: {error.strerror}")


if __name__ == "__main__":
    main()
