"""What the machine itself adds to a tail: late wake-ups of each core, and syncs of the disk.

    python -m benchmarks.machine [FOLDER]

FOLDER is on the disk that is asked; default: the temporary folder.
"""

import os
import sys
import tempfile
import time

SLEEP_S, WRITES, PAGE = 0.002, 800, b"x" * 8192


def main(folder: str) -> None:
    """Measure each core in turn, then the disk."""
    for core in sorted(os.sched_getaffinity(0)):
        os.sched_setaffinity(0, {core})
        print(
            f"core {core}, {SLEEP_S * 1000:.0f} ms of sleep late by {spread([late() for _ in range(3000)])}"
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        print(f"fdatasync of 8 KiB in {folder}: {spread([synced(file.fileno(), n) for n in range(WRITES)])}")


def late() -> float:
    """Seconds by which a short sleep was too long."""
    began = time.perf_counter()
    time.sleep(SLEEP_S)
    return time.perf_counter() - began - SLEEP_S


def synced(file: int, number: int) -> float:
    """Seconds until a page was on the disk."""
    os.pwrite(file, PAGE, number * len(PAGE))
    began = time.perf_counter()
    os.fdatasync(file)
    took = time.perf_counter() - began
    time.sleep(0.005)
    return took


def spread(taken: list[float]) -> str:
    """Median, 99th percentile and the worst, in milliseconds."""
    taken = sorted(taken)
    p50, p99, worst = (1000 * taken[int(len(taken) * q)] for q in (0.5, 0.99, 0.9999))
    return f"p50 {p50:.2f} ms   p99 {p99:.2f} ms   worst {worst:.1f} ms"


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir())
