"""Start one program, wait for its end, and say what it cost, as JSON on standard output.

A process of its own, without any import that is not needed: the peak memory that the kernel keeps of a program begins
with that of the process it was started from. What the program says goes to OUTPUT.

launcher.py OUTPUT PROGRAM [ARGUMENT ...]
"""

import json
import os
import sys
import time


def main() -> None:
    """Run the command line."""
    output, *command = sys.argv[1:]
    said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, here, there) for here, there in ((nothing, 0), (said, 1), (said, 2))]
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    json.dump({"code": code, "seconds": seconds, "cpu": cpu, "mebibytes": usage.ru_maxrss / 1024}, sys.stdout)


if __name__ == "__main__":
    main()
