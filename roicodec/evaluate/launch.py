"""Launcher of a command that reports its time and memory: a small process, with few imports.

Linux counts the memory of the process that starts a program towards the program's peak, so the
starter must be smaller than anything that is measured.

Usage: ``python -I -S launch.py REPORT COMMAND…``; REPORT becomes a JSON object.
"""

import json
import os
import signal
import sys
import time


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    report, *command = sys.argv[1:]
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    result = {
        "wall_s": time.perf_counter() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "exit": os.waitstatus_to_exitcode(status),
    }
    with open(report, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
