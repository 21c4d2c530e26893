"""One client in a separate process, which executes commands and reports how long each took.

Started as `worker.py SUBJECT SCENARIO URL` by any Python: it needs only the standard library, besides the client.
Each line on stdin is a number of calls; each line on stdout is `{"seconds": …, "peak": …}`, the peak being the memory
above what the process held before, in bytes.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    """Measure until stdin ends."""
    subject, scenario, url = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library's output, such as Ray's advice, must not look like an answer
    run = importlib.import_module(f"subjects.{subject}").SCENARIOS[scenario](url)
    gc.collect()
    print("ready", file=answers)
    for line in sys.stdin:
        forget_peak()
        idle = memory("VmRSS")
        begun = time.perf_counter()
        run(int(line))
        seconds = time.perf_counter() - begun
        print(json.dumps({"seconds": seconds, "peak": memory("VmHWM") - idle}), file=answers)


def memory(field: str) -> int:
    """Return the process's memory, or its maximum so far, in bytes."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith(field))


def forget_peak() -> None:
    """Make the system count the peak from here on, if it can."""
    references = Path("/proc/self/clear_refs")
    if references.exists():
        references.write_text("5")


if __name__ == "__main__":
    main()
