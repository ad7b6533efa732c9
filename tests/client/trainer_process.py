"""A trainer in a process of its own, so that it can be killed: `URL PIN LOG STEPS`.

Its checkpoint is the log, a line for each step that is done; started again, it goes on behind the last.
"""

import json
import os
import sys
from pathlib import Path

from judgesmith_client import Client, Item, Retries

# Of one step, in several requests.
ITEMS, BATCH = 8, 4


def items_of(step: int) -> list[Item]:
    """What the policy has written in a step."""
    return [Item(f"Say {step}, response {n}.", f"It is {step}.") for n in range(ITEMS)]


def main(url: str, pin: str, log: Path, steps: int) -> None:
    """Train."""
    done = len(log.read_text().splitlines()) if log.exists() else 0
    retries = Retries(tries=1000, first_s=0.05, longest_s=0.5)
    with Client(url, pin=pin, batch=BATCH, retries=retries) as client, log.open("a") as file:
        client.make_pin(pin)
        for step in range(done, steps):
            found = client.reward(items_of(step))
            row = {"step": step, "version": found.model_version, "rewards": found.numbers}
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
