"""The scripted backend in a process of its own, so that it can be killed: `PORT MODEL LABEL`."""

import sys
import time
from pathlib import Path

from tests.scripted_vllm import scripted
from tests.workers.conftest import on_topic, respond

# Long enough that a kill meets requests in progress.
DELAY_S, RELOAD_S = 0.1, 0.5


def main(port: int, model: Path, label: str) -> None:
    """Serve until somebody kills it."""
    options = {"label": label, "text": respond, "margin": on_topic}
    with scripted(model, delay_s=DELAY_S, reload_s=RELOAD_S, **options).serve(port):
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
