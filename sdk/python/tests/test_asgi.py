"""The middleware on a real uvicorn."""

import time

import httpx
import jwt
import pytest
from conftest import SIGNING, application, assertion, serve
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from chancery._assertion import request_hash


CLIENT = httpx.Client(timeout=10)


def get(address: str, path: str = "/who/me", *headers: tuple[str, str], method: str = "GET", **options) -> httpx.Response:
    return CLIENT.request(method, f"http://{address}{path}", headers=list(headers), **options)


def refused(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


@pytest.mark.parametrize("algorithm", SIGNING)
def test_an_assertion_lets_in_and_tells_who_calls(address, algorithm):
    response = get(address, "/who/me", ("X-Auth-Assertion", assertion(algorithm=algorithm)))
    assert response.status_code == 200, response.text
    said = response.json()
    assert (said["user"], said["tenant"], said["clinician"], said["state"]) == ("usr_1", "ten_1", True, "usr_1")
    assert said["amr"] == ["pwd", "otp"]


def test_direct_traffic_is_refused(address):
    refused(get(address), 403, "assertion.missing")
    refused(get(address, "/nowhere"), 403, "assertion.missing")
    refused(get(address, "/who/me", ("X-Auth-Subject", "usr_1"), ("Authorization", "Bearer x")), 403, "assertion.missing")


CHANGED = {
    "another route's": {"aud": "laboratory"},
    "several routes'": {"aud": ["clinic", "laboratory"]},
    "another issuer's": {"iss": "https://id.example/"},
    "expired": {"iat": int(time.time()) - 120, "exp": int(time.time()) - 60},
    "not yet": {"iat": int(time.time()) + 60, "exp": int(time.time()) + 90},
    "an hour long": {"exp": int(time.time()) + 3600},
    "without an end": {"exp": None},
    "without a request": {"request": None},
    "a number as request": {"request": 7},
    "without an id": {"jti": None},
    "without a tenant": {"tenant_id": None},
    "an odd subject": {"sub": ""},
    "odd roles": {"roles": "clinician"},
    "an access token": {"header": {"typ": "at+jwt"}},
    "without a type": {"header": {"typ": None}},
    "an unknown key": {"header": {"kid": "other"}},
    "another key": {"header": {"kid": "key-EdDSA"}},
    "a key's place": {"header": {"jku": "http://127.0.0.1/keys"}},
    "of another method": {"method": "POST"},
    "of another path": {"path": "/who/you"},
    "of the path decoded": {"path": "/who/m%65"},
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED.keys())
def test_what_is_not_quite_right_is_refused(address, change):
    refused(get(address, "/who/me", ("X-Auth-Assertion", assertion(**change))), 403, "assertion.invalid")


def test_garbage_and_unsigned_ones_are_refused(address):
    good = assertion()
    unsigned = jwt.encode({"sub": "usr_1"}, None, "none", {"typ": "auth-assertion+jwt", "kid": "key-ES256"})
    signed, signature = good.rsplit(".", 1)
    for text in ("", "x", "a.b.c", unsigned, signed + ".", signed + "." + signature[::-1], "x" * 9000):
        assert get(address, "/who/me", ("X-Auth-Assertion", text)).status_code == 403, text[:40]


def test_one_assertion_and_no_second_in_any_spelling(address):
    for name in ("X-Auth-Assertion", "X_Auth_Assertion", "x-auth_assertion"):
        both = [("X-Auth-Assertion", assertion()), (name, assertion())]
        refused(get(address, "/who/me", *both), 403, "assertion.invalid")


def test_an_assertion_is_of_its_method_and_of_the_path_as_it_is_sent(address):
    path = "/who/a%20b%2Fc"
    ours = ("X-Auth-Assertion", assertion(path=path))
    assert get(address, path + "?x=1", ours).status_code == 200
    refused(get(address, "/who/a%20b/c", ours), 403, "assertion.invalid")
    posted = get(address, "/who/me", ("X-Auth-Assertion", assertion("POST")), method="POST", content="body")
    assert posted.json()["body"] == "body"


def test_plain_headers_say_what_the_assertion_says(address):
    forged = [(name, "usr_9") for name in ("X-Auth-Subject", "x_auth_subject", "X-AUTH_Roles", "X-Auth-Anything", "X-Tenant-Id", "x_tenant")]
    response = get(address, "/who/me", ("X-Auth-Assertion", assertion()), *forged)
    assert response.json()["headers"] == [
        ["x-auth-subject", "usr_1"], ["x-auth-tenant", "ten_1"], ["x-auth-roles", "clinician"], ["x-tenant-id", "ten_1"],
    ]


def test_a_stranger_whom_the_gateway_lets_in_is_nobody(address):
    stranger = ("X-Auth-Assertion", assertion(path="/anybody", sub=None, tenant_id=None, roles=None))
    assert get(address, "/anybody", stranger).json() == {"user": None, "clinician": False}
    stranger = ("X-Auth-Assertion", assertion(sub=None))
    refused(get(address, "/who/me", stranger), 401, "auth.credential_missing")


def test_only_paths_that_are_named_are_exempt(address):
    assert get(address, "/health").json()["user"] is None
    for path in ("/health/", "/healthz", "/anybody"):
        refused(get(address, path), 403, "assertion.missing")


def test_callers_are_not_mixed_up(address):
    def ask(number: int) -> bool:
        ours = assertion(path="/anybody", sub=f"usr_{number}")
        return get(address, "/anybody", ("X-Auth-Assertion", ours)).json()["user"] == f"usr_{number}"

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(64)))


def test_sockets_want_an_assertion_too(address):
    headers = {"X-Auth-Assertion": assertion(path="/ward")}
    with connect(f"ws://{address}/ward", additional_headers=headers) as socket:
        assert socket.recv(5) == "usr_1"
    for headers in ({}, {"X-Auth-Assertion": assertion(path="/other")}):
        with pytest.raises(InvalidStatus) as refusal:
            connect(f"ws://{address}/ward", additional_headers=headers)
        assert refusal.value.response.status_code == 403


def test_a_root_path_that_the_server_adds_is_taken_off(jwks):
    address, stop = serve(application(jwks.url, strip_root_path=True), root_path="/clinic")
    try:
        assert get(address, "/who/me", ("X-Auth-Assertion", assertion(path="/who/me"))).status_code == 200
    finally:
        stop()


def test_the_hash_is_that_of_the_gateway():
    # The same value stands in crates/domain/src/tokens/assertion.rs.
    assert request_hash("GET", b"/api/patients/1") == "W2cTwcCHBT2yFTpG4JHt-4n4oL7QU6gvF1hw6MA2SD8"
