"""What an assertion says, and whether it is right."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import jwt

TYPE = "auth-assertion+jwt"
ALGORITHMS = ("ES256", "EdDSA", "RS256")
SECONDS = 60
MAX_BYTES = 8 * 1024


class AssertionRefused(Exception):
    """The assertion is not right. Why is for the log; whoever asks is not told."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified identity."""

    subject: str
    """`usr_…`, `apk_…` or `ext_…`."""
    tenant_id: str
    """`ten_…`: whose data it may touch."""
    tenant: str
    """That tenant's short name."""
    roles: frozenset[str]
    """The roles, the tenant's own among them."""
    auth: str
    """How it authenticated: `password`, `api_key`, `external`, `legacy`."""
    amr: tuple[str, ...]
    """By what the person proved who it is (RFC 8176); empty for programs."""
    decision_id: str
    """The id of the request in Chancery's log and audit trail."""


def request_hash(method: str, raw_path: bytes) -> str:
    """What binds an assertion to its request: method and path as they are sent, without the query."""
    digest = hashlib.sha256(method.encode("ascii") + b"\n" + raw_path).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def key_id(text: str) -> str:
    """Which key the assertion names. Nothing of it is believed yet, but its form is right.

    Raises:
        AssertionRefused: it has not the form of an assertion.
    """
    if len(text) > MAX_BYTES:
        raise AssertionRefused("too long")
    try:
        header = jwt.get_unverified_header(text)
    except jwt.PyJWTError as error:
        raise AssertionRefused("malformed") from error
    # An access token of the same issuer is signed by the same keys: the type keeps the two apart (RFC 8725 §3.11).
    if header.get("typ") != TYPE:
        raise AssertionRefused("type")
    if set(header) != {"typ", "alg", "kid"} or not isinstance(header["kid"], str):
        raise AssertionRefused("header")
    return header["kid"]


def verify(
    text: str, key: jwt.PyJWK, *, issuer: str, audience: str, method: str, raw_path: bytes, leeway: float
) -> Caller | None:
    """Who calls, or `None` if the gateway let a stranger in.

    Raises:
        AssertionRefused: it is not right, or of another request.
    """
    options: Any = {"require": ["iss", "aud", "iat", "exp", "jti", "request"], "strict_aud": True}
    try:
        claims = jwt.decode(
            text,
            key,
            # A key has one algorithm, and the assertion has no say in it.
            algorithms=[key.algorithm_name],
            issuer=issuer,
            audience=audience,
            leeway=leeway,
            options=options,
        )
    except jwt.PyJWTError as error:
        raise AssertionRefused(type(error).__name__) from error
    if not 0 < claims["exp"] - claims["iat"] <= SECONDS:
        raise AssertionRefused("lives too long")
    expected = request_hash(method, raw_path)
    if not (isinstance(claims["request"], str) and hmac.compare_digest(claims["request"].encode(), expected.encode())):
        raise AssertionRefused("of another request")
    if "sub" not in claims:
        return None
    return _caller_of(claims)


def _caller_of(claims: dict[str, Any]) -> Caller:
    def text(name: str) -> str:
        value = claims.get(name)
        if not isinstance(value, str) or not value:
            raise AssertionRefused(f"no {name}")
        return value

    def texts(name: str) -> list[str]:
        values = claims.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise AssertionRefused(f"odd {name}")
        return values

    return Caller(
        subject=text("sub"),
        tenant_id=text("tenant_id"),
        tenant=text("tenant"),
        roles=frozenset(texts("roles")),
        auth=text("auth"),
        amr=tuple(texts("amr")),
        decision_id=text("jti"),
    )
