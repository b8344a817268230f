"""The gateway's keys: when they are fetched, and what happens when they cannot be."""

import asyncio
import json
import threading

import httpx
import pytest
from conftest import Jwks, application, assertion, public, serve

from chancery import ChanceryMiddleware, KeysUnavailable
from chancery._keys import COOLDOWN_SECONDS, FRESH_SECONDS, Keys


class Source:
    """Keys that come, or do not, and a clock that is wound by hand."""

    def __init__(self) -> None:
        self.now, self.asked, self.fails, self.keys = 1000.0, 0, False, [public("ES256")]
        self.known = Keys("http://gateway.test/keys", self.fetch, lambda: self.now)

    def fetch(self, _: str) -> bytes:
        self.asked += 1
        if self.fails:
            raise OSError("no route to host")
        return json.dumps({"keys": self.keys}).encode()

    def get(self, *kids: str) -> list:
        async def all_at_once() -> list:
            found = await asyncio.gather(*(self.known.get(kid) for kid in kids))
            if self.known._renewing is not None:
                await self.known._renewing
            return found

        return asyncio.run(all_at_once())


def test_nothing_is_fetched_before_it_is_needed_and_then_once_for_all():
    source = Source()
    assert source.asked == 0
    assert all(source.get(*["key-ES256"] * 20)) and source.asked == 1
    assert all(source.get("key-ES256")) and source.asked == 1


def test_unknown_ids_do_not_flood_the_gateway():
    source = Source()
    for number in range(50):
        assert source.get(f"made-up-{number}") == [None]
    assert source.asked == 1
    source.now += COOLDOWN_SECONDS
    assert source.get("made-up") == [None] and source.asked == 2


def test_a_new_key_is_found_and_one_that_was_taken_away_is_gone():
    source = Source()
    source.get("key-ES256")
    source.keys, source.now = [public("EdDSA")], source.now + COOLDOWN_SECONDS
    assert all(source.get("key-EdDSA")) and source.get("key-ES256") == [None]


def test_a_key_that_is_known_outlives_the_gateways_outage():
    source = Source()
    source.get("key-ES256")
    source.fails, source.now = True, source.now + FRESH_SECONDS
    assert all(source.get("key-ES256")) and source.asked == 2
    with pytest.raises(KeysUnavailable):
        source.get("key-EdDSA")
    source.fails, source.now = False, source.now + COOLDOWN_SECONDS
    assert source.get("key-EdDSA") == [None]


def test_nobody_with_a_key_that_is_known_waits_for_an_address_that_hangs():
    source = Source()
    source.get("key-ES256")
    hung, source.now = threading.Event(), source.now + FRESH_SECONDS

    def hang(_: str) -> bytes:
        source.asked += 1
        hung.wait(10)
        source.now += 60
        raise OSError("timed out")

    source.known._get = hang

    async def ask() -> None:
        for _ in range(5):
            assert await asyncio.wait_for(source.known.get("key-ES256"), 1)
        hung.set()
        await source.known._renewing
        # The pause begins when the try ends.
        assert await source.known.get("key-ES256")
        assert source.asked == 2

    asyncio.run(ask())


@pytest.mark.parametrize(
    "odd",
    [{"use": "enc"}, {"alg": "HS256"}, {"alg": None}, {"kty": "oct", "k": "c2VjcmV0"}, {"kid": None}, {"d": "AAAA"}],
    ids=str,
)
def test_keys_that_do_not_verify_signatures_are_none(odd):
    source = Source()
    source.keys = [{**public("ES256"), **odd}]
    with pytest.raises(KeysUnavailable):
        source.get("key-ES256")


def test_without_keys_it_is_503_and_not_the_callers_fault():
    jwks = Jwks()
    jwks.fails = True
    address, stop = serve(application(jwks.url))
    response = httpx.get(f"http://{address}/who/me", headers={"X-Auth-Assertion": assertion()})
    assert response.status_code == 503 and response.json()["code"] == "dependency.unavailable"
    assert response.headers["retry-after"] == "5" and jwks.asked == 1
    # Who brings none is told so, whatever the state of the keys.
    assert httpx.get(f"http://{address}/who/me").status_code == 403
    stop()


def test_what_would_let_anybody_in_is_no_configuration():
    for options in ({"issuer": "", "audience": "a"}, {"issuer": "https://a", "audience": ""}):
        with pytest.raises(ValueError):
            ChanceryMiddleware(None, **options)
    with pytest.raises(ValueError):
        ChanceryMiddleware(None, issuer="https://a", audience="a", exempt="/health")
    with pytest.raises(ValueError):
        ChanceryMiddleware(None, issuer="https://a", audience="a", jwks_url="file:///etc/keys")
