"""Who may do what: bearer keys with scopes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from judge.store import keys
from judge.store.database import Sessions
from judge.store.keys import SCOPES, Principal
from service.door.problems import Forbidden, Unauthorized

LOCAL = Principal("local", "local", frozenset(SCOPES))
_REMEMBER_S = 10.0


class Authenticator:
    """Checks keys in the database and remembers good ones for ten seconds."""

    def __init__(self, sessions: Sessions, *, on: bool) -> None:
        self._sessions = sessions
        self._on = on
        self._known: dict[str, tuple[float, Principal]] = {}

    async def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an Authorization header.

        Raises:
            Unauthorized: there is no key, or it is wrong or revoked.
        """
        if not self._on:
            return LOCAL
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Unauthorized("send `Authorization: Bearer KEY`; make a key with `judgesmith keys create`")
        now = time.monotonic()
        expires, principal = self._known.get(key, (0.0, LOCAL))
        if expires > now:
            return principal
        found = await asyncio.to_thread(self._check, key)
        if found is None:
            self._known.pop(key, None)
            raise Unauthorized("this key is not known, or was revoked")
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[key] = (now + _REMEMBER_S, found)
        return found

    def _check(self, key: str) -> Principal | None:
        with self._sessions() as session:
            return keys.check_key(session, key)


class KeyInPath:
    """ASGI middleware: `/key/KEY/…` is `/…` with that key, for trainers that are given a URL and no header.

    Only for what trainers call: elsewhere a key has no place in a URL, which proxies write down.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, without the key in its path."""
        parts = scope["path"].split("/", 3) if scope["type"] == "http" else []
        if len(parts) == 4 and parts[1] == "key" and not f"/{parts[3]}".startswith("/admin"):
            header = (b"authorization", b"Bearer " + parts[2].encode())
            others = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
            scope = {**scope, "path": f"/{parts[3]}", "raw_path": None, "headers": [*others, header]}
        await self._app(scope, receive, send)


def allow(scope: str) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that admits only keys with a scope; `admin` may do everything."""

    async def check(request: Request) -> Principal:
        authenticator: Authenticator = request.app.state.authenticator
        principal = await authenticator.authenticate(request.headers.get("authorization"))
        if not principal.scopes & {scope, "admin"}:
            raise Forbidden(f"this needs a key with the scope `{scope}`")
        return principal

    return check
