"""The client that the environment names."""

import os

from judgesmith_client.client import Client

DEFAULT_URL = "http://127.0.0.1:8080"


def client_of_environment(url: str | None = None, key: str | None = None, pin: str | None = None) -> Client:
    """A client by JUDGESMITH_URL, JUDGESMITH_KEY and JUDGESMITH_PIN, where nothing else is said."""
    read = os.environ.get
    return Client(
        url or read("JUDGESMITH_URL") or DEFAULT_URL,
        key or read("JUDGESMITH_KEY"),
        pin=pin or read("JUDGESMITH_PIN"),
    )
