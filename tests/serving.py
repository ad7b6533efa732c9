"""Running an ASGI application on a real loopback port, in a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from service.__main__ import KEEP_ALIVE_S


@contextmanager
def serve(app: ASGIApp, *, lifespan: str = "on", port: int = 0) -> Iterator[str]:
    """Yield the URL (any free port by default); shut down as on SIGTERM at the end of the block."""
    config = uvicorn.Config(
        app,
        port=port,
        log_level="error",
        lifespan=lifespan,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        if not thread.is_alive():
            raise RuntimeError("the application did not start; its log says why")
    number = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{number}"
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive(), "the application does not stop"
