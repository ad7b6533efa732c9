"""How long a new user waits for the first judgment: `make run` in a fresh clone, from an empty folder.

    python -m benchmarks.first_start [--lesson]

Clones the commit that is checked out into a temporary folder, with a home of its own; packages come from
wherever uv finds them. Prints what `make run` prints, and the seconds up to the first judgment. With
`--lesson` the first lesson is taught as well, and its end waited for.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from judge.backend.engine import free_port

ROOT = Path(__file__).resolve().parents[1]
PAIR = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
LESSON_OVER = "The example pair"


def main() -> None:
    """Clone, run, ask until there is an answer, stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lesson", action="store_true", help="also wait for the first lesson")
    lesson = parser.parse_args().lesson
    with tempfile.TemporaryDirectory(prefix="judgesmith-first-") as folder:
        clone, log, port = Path(folder) / "clone", Path(folder) / "log", free_port()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = os.environ | {"JUDGESMITH_HOME": f"{folder}/home", "JUDGESMITH_PORT": str(port)}
        command = ["make", "run"] if lesson else ["make", "run", "ARGS=--no-teach"]
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=clone, env=environment, stdout=output, stderr=output)
        try:
            answer = first_answer(process, f"http://127.0.0.1:{port}/judge/pairwise")
            print(f"first judgment after {time.monotonic() - began:.0f} s: {answer}", flush=True)
            while lesson and LESSON_OVER not in log.read_text() and process.poll() is None:
                time.sleep(1)
            if lesson:
                print(f"first lesson over after {time.monotonic() - began:.0f} s", flush=True)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
            print(log.read_text())


def first_answer(process: "subprocess.Popen[bytes]", url: str) -> str:
    """Ask twice a second until a judgment comes."""
    while process.poll() is None:
        try:
            response = httpx.post(url, json=PAIR, timeout=30)
            if response.status_code == 200:
                return response.text
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    sys.exit("`make run` ended before it answered; what it printed:")


if __name__ == "__main__":
    main()
