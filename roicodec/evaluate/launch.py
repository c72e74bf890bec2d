"""Launcher of a command that reports its time and memory: a small process, with few imports.

Linux counts the memory of the process that starts a program towards the program's peak, so the
starter must be smaller than anything that is measured.

The command and whatever it starts end when standard input does, which the one who asks for it holds
open as long as it lives, however it may die: asked first, killed after a second.

Usage: ``python -I -S launch.py REPORT COMMAND…``; REPORT becomes a JSON object.
"""

import json
import os
import signal
import sys
import threading
import time

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 1.0
"""Seconds that a command has for ending when it is asked to."""


def main() -> None:
    report, *command = sys.argv[1:]
    start = time.perf_counter()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # A group of its own, which no signal from a terminal reaches: the asker's end is its end.
    pid = os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        setpgroup=0,
        setsigdef=_SIGNALS,
    )
    threading.Thread(target=_end_with_asker, args=(pid,), daemon=True).start()
    _, status, usage = os.wait4(pid, 0)
    result = {
        "wall_s": time.perf_counter() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "exit": os.waitstatus_to_exitcode(status),
    }
    _kill(pid, signal.SIGKILL)  # what it has left behind
    with open(report, "w") as file:
        json.dump(result, file)


def _end_with_asker(group: int) -> None:
    while os.read(0, 1):
        pass
    _kill(group, signal.SIGTERM)
    time.sleep(_GRACE)
    _kill(group, signal.SIGKILL)


def _kill(group: int, number: signal.Signals) -> None:
    try:  # noqa: SIM105 - an import less
        os.killpg(group, number)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    main()
