"""Who may do what: bearer keys with scopes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import Request

from judge import keys
from judge.database import Sessions
from judge.keys import SCOPES, Principal
from service.problems import Forbidden, Unauthorized

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


def allow(scope: str) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that admits only keys with a scope; `admin` may do everything."""

    async def check(request: Request) -> Principal:
        authenticator: Authenticator = request.app.state.authenticator
        principal = await authenticator.authenticate(request.headers.get("authorization"))
        if not principal.scopes & {scope, "admin"}:
            raise Forbidden(f"this needs a key with the scope `{scope}`")
        return principal

    return check
