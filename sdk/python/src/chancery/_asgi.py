"""The middleware: no assertion, no answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from . import _assertion
from ._assertion import AssertionRefused, Caller
from ._caller import NotAuthenticated, _caller
from ._keys import Keys, KeysUnavailable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER = b"x-auth-assertion"
_log = logging.getLogger("chancery")

_REFUSALS = {
    "assertion.missing": (403, "The application is reached through its gateway only"),
    "assertion.invalid": (403, "The application is reached through its gateway only"),
    "auth.credential_missing": (401, "A credential is needed"),
    "dependency.unavailable": (503, "The gateway's keys cannot be had"),
}


class ChanceryMiddleware:
    """Asks `app` only what came through the gateway, and tells it who calls.

    Args:
        app: the application.
        issuer: Chancery's issuer, to the letter as `issuer` in its `/.well-known/openid-configuration`.
        audience: the name of this application's route in the gateway.
        jwks_url: where the gateway's keys are; by default `/.well-known/jwks.json` below the issuer.
        exempt: paths that anybody may ask, such as the one of a health check. To the letter, no patterns.
        leeway: how far clocks may differ, in seconds.
        strip_root_path: the server was started with `--root-path` and puts that before each path that it gets.
    """

    def __init__(
        self,
        app: App,
        *,
        issuer: str,
        audience: str,
        jwks_url: str | None = None,
        exempt: Collection[str] = (),
        leeway: float = 5.0,
        strip_root_path: bool = False,
    ) -> None:
        if not issuer or not audience:
            raise ValueError("issuer and audience must be given: without them any assertion of anybody would do")
        if isinstance(exempt, str):
            raise ValueError("exempt is a list of paths")
        self.app = app
        self._issuer, self._audience, self._leeway = issuer, audience, leeway
        self._exempt = frozenset(exempt)
        self._strip_root_path = strip_root_path
        # Nothing is fetched before the first request: application and gateway may start in any order.
        self._keys = Keys(jwks_url or f"{issuer.rstrip('/')}/.well-known/jwks.json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            raise RuntimeError(f"an unknown kind of connection: {scope['type']}")
        if scope["path"] in self._exempt:
            await self._ask(scope, receive, send, None)
            return
        try:
            caller = await self._verified(scope)
        except AssertionRefused as refused:
            _log.warning("Refused a request that did not come through the gateway: %s", refused)
            code = "assertion.missing" if str(refused) == "missing" else "assertion.invalid"
            await _refuse(scope, receive, send, code)
        except KeysUnavailable:
            _log.error("The gateway's keys cannot be had")
            await _refuse(scope, receive, send, "dependency.unavailable")
        else:
            await self._ask(scope, receive, send, caller)

    async def _verified(self, scope: Scope) -> Caller | None:
        found = [value for name, value in scope["headers"] if _folded(name) == HEADER]
        if not found:
            raise AssertionRefused("missing")
        if len(found) > 1:
            raise AssertionRefused("more than one")
        try:
            text = found[0].decode("ascii")
        except UnicodeDecodeError as error:
            raise AssertionRefused("malformed") from error
        key = await self._keys.get(_assertion.key_id(text))
        if key is None:
            raise AssertionRefused("unknown key")
        # A WebSocket begins as a GET (RFC 6455 §4.1).
        method = scope["method"] if scope["type"] == "http" else "GET"
        return _assertion.verify(
            text,
            key,
            issuer=self._issuer,
            audience=self._audience,
            method=method,
            raw_path=self._raw_path(scope),
            leeway=self._leeway,
        )

    def _raw_path(self, scope: Scope) -> bytes:
        raw: bytes | None = scope.get("raw_path")
        if raw is None:
            raise AssertionRefused("the server does not tell the path as it was sent")
        raw = raw.split(b"?", 1)[0]
        root = scope.get("root_path", "").encode("ascii", "replace")
        return raw[len(root) :] if self._strip_root_path and root and raw.startswith(root) else raw

    async def _ask(self, scope: Scope, receive: Receive, send: Send, caller: Caller | None) -> None:
        scope = {**scope, "headers": _told(scope["headers"], caller)}
        scope["state"] = {**scope.get("state", {}), "caller": caller}
        begun = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        token = _caller.set(caller)
        try:
            await self.app(scope, receive, watched)
        except NotAuthenticated:
            if begun:
                raise
            await _refuse(scope, receive, send, "auth.credential_missing")
        finally:
            _caller.reset(token)


def _folded(name: bytes) -> bytes:
    """The name as those read it that do not tell `_` from `-`."""
    return name.lower().replace(b"_", b"-")


def _told(headers: Collection[tuple[bytes, bytes]], caller: Caller | None) -> list[tuple[bytes, bytes]]:
    """The headers, with what they say of the caller taken from the assertion and from nowhere else."""
    kept = [(name, value) for name, value in headers if not _folded(name).startswith((b"x-auth-", b"x-tenant"))]
    if caller is not None:
        roles = ",".join(sorted(caller.roles))
        for name, value in (("subject", caller.subject), ("tenant", caller.tenant_id), ("roles", roles)):
            kept.append((f"x-auth-{name}".encode(), value.encode("utf-8")))
        kept.append((b"x-tenant-id", caller.tenant_id.encode("utf-8")))
    return kept


async def _refuse(scope: Scope, receive: Receive, send: Send, code: str) -> None:
    status, title = _REFUSALS[code]
    problem = {"type": f"urn:chancery:problem:{code}", "title": title, "status": status, "code": code, "detail": title}
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    headers.append((b"content-length", str(len(body)).encode()))
    if status == 503:
        headers.append((b"retry-after", b"5"))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="chancery"'))
    kind = "http.response"
    if scope["type"] == "websocket":
        if (await receive())["type"] != "websocket.connect":
            return
        if "websocket.http.response" not in scope.get("extensions", {}):
            # Closed before it was accepted: the server answers 403.
            await send({"type": "websocket.close", "code": 1008})
            return
        kind = "websocket.http.response"
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
