"""The gateway's public keys: fetched when first needed, kept, and fetched again when one is missing."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import jwt

from ._assertion import ALGORITHMS

FRESH_SECONDS = 300.0
# Keys that nobody asked for in so long are fetched before they are believed again: they may have been taken away.
STALE_SECONDS = 3600.0
COOLDOWN_SECONDS = 5.0
TIMEOUT_SECONDS = 5.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 50


class KeysUnavailable(Exception):
    """No key is known, and none can be had now. That is nobody's bad credential."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Who answers with another place does not decide whose keys are trusted."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def fetch(url: str) -> bytes:
    """The document at `url`, over no proxy of the environment's."""
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=TIMEOUT_SECONDS) as response:
        body: bytes = response.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ValueError("the key set is too long")
    return body


class Keys:
    """The keys of one gateway.

    A key that is known goes on verifying while the gateway cannot be reached, and nobody waits for the set to be fetched
    anew. One that is not known has the set fetched, by one request for all who wait, and at most once in five seconds:
    nobody makes us flood the gateway with made-up ids.
    """

    def __init__(self, url: str, get: Callable[[str], bytes] = fetch, clock: Callable[[], float] = time.monotonic) -> None:
        if not url.startswith(("https://", "http://")):
            raise ValueError("the address of the keys must begin with https:// or http://")
        self._url, self._get, self._clock = url, get, clock
        self._known: dict[str, jwt.PyJWK] = {}
        self._fetched = self._tried = -FRESH_SECONDS - COOLDOWN_SECONDS
        self._failed = False
        self._flights: dict[int, asyncio.Lock] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def get(self, kid: str) -> jwt.PyJWK | None:
        """The key of this id; `None` if the gateway has none such.

        Raises:
            KeysUnavailable: the set could not be fetched.
        """
        if kid in self._known and self._age() < STALE_SECONDS:
            self._renew()
            return self._known[kid]
        async with self._flight():
            if (kid not in self._known or self._age() >= STALE_SECONDS) and self._may_try():
                await self._refresh()
        key = self._known.get(kid)
        if key is None and self._failed:
            raise KeysUnavailable(self._url)
        return key

    def _renew(self) -> None:
        """Has the set fetched beside what goes on, if it is old."""
        running = self._renewing is not None and not self._renewing.done()
        if running or self._age() < FRESH_SECONDS or not self._may_try():
            return
        # Held on to, or it could be collected before it ends.
        self._renewing = asyncio.get_running_loop().create_task(self._renewed())

    async def _renewed(self) -> None:
        # Whoever asks for a key that is not known meanwhile waits for this try, and does not make another.
        async with self._flight():
            if self._age() >= FRESH_SECONDS and self._may_try():
                await self._refresh()

    def _age(self) -> float:
        return self._clock() - self._fetched

    def _may_try(self) -> bool:
        return self._clock() - self._tried >= COOLDOWN_SECONDS

    def _flight(self) -> asyncio.Lock:
        # A lock belongs to one event loop, and tests make several.
        return self._flights.setdefault(id(asyncio.get_running_loop()), asyncio.Lock())

    async def _refresh(self) -> None:
        self._tried = self._clock()
        try:
            known = _read(await asyncio.to_thread(self._get, self._url))
        except Exception:  # noqa: BLE001  whatever it is: what is known stays known
            # The pause begins when the try ends: one that hangs must not be followed by the next at once.
            self._failed, self._tried = True, self._clock()
            return
        self._known, self._failed, self._fetched = known, False, self._clock()


def _read(document: bytes) -> dict[str, jwt.PyJWK]:
    """The keys that may verify: public ones for signatures, each with its algorithm."""
    keys: dict[str, jwt.PyJWK] = {}
    for entry in json.loads(document)["keys"][:MAX_KEYS]:
        wanted = entry.get("use") == "sig" and entry.get("alg") in ALGORITHMS and isinstance(entry.get("kid"), str)
        if wanted and entry.get("kty") in ("EC", "OKP", "RSA") and "d" not in entry:
            keys[entry["kid"]] = jwt.PyJWK(entry)
    if not keys:
        raise ValueError("no key in the set verifies assertions")
    return keys
