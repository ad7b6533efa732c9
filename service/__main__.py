"""Run the gateway: `python -m service`, with the settings of `JUDGESMITH_*`."""

import argparse
import contextlib
import sys
import threading
from types import FrameType

import uvicorn

from judge.settings import Settings
from service.main import create_app

# Longer than clients and proxies keep an idle connection (httpx 5 s, nginx 60 s): the side that would send
# the next request must be the one that closes first, or that request meets a closing connection.
KEEP_ALIVE_S = 75
# What may still be running when it stops: a decision of many reasoned votes.
GRACE_S = 60


class Server(uvicorn.Server):
    """A server that tells at once that it has to stop; the application hears of it when all is answered."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called with SIGINT and SIGTERM."""
        self._stopping.set()
        super().handle_exit(sig, frame)


def main() -> None:
    """Serve until SIGINT or SIGTERM; requests in progress then get `GRACE_S` seconds to finish."""
    argparse.ArgumentParser(prog="python -m service", description=__doc__).parse_args()
    settings = Settings()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        access_log=False,
        proxy_headers=False,  # nothing here depends on who is before it
    )
    server = Server(config, app.state.stopping)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
