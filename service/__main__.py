"""Run the gateway: `python -m service`, with the settings of `JUDGESMITH_*`."""

import argparse

import uvicorn

from judge.settings import Settings

# Longer than clients and proxies keep an idle connection (httpx 5 s, nginx 60 s): the side that would send
# the next request must be the one that closes first, or that request meets a closing connection.
KEEP_ALIVE_S = 75
# What may still be running when it stops: a decision of many reasoned votes.
GRACE_S = 60


def main() -> None:
    """Serve until SIGINT or SIGTERM; requests in progress then get `GRACE_S` seconds to finish."""
    argparse.ArgumentParser(prog="python -m service", description=__doc__).parse_args()
    settings = Settings()
    uvicorn.run(
        "service.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        access_log=False,
        proxy_headers=False,  # nothing here depends on who is before it
    )


if __name__ == "__main__":
    main()
