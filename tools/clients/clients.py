"""Python's clients off the shelf against a running Chancery: PyJWT, joserfc and authlib.

They are told the issuer and a client's id and secret, and find the rest by discovery. `cargo xtask clients` runs this.
"""

import os
import warnings

import authlib.deprecate
import jwt
import requests

# Older code uses `authlib.jose` still; it says that joserfc will take its place.
warnings.filterwarnings("ignore", category=authlib.deprecate.AuthlibDeprecationWarning)

from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.jose.errors import JoseError as AuthlibError
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ISSUER = os.environ["CHANCERY_ISSUER"]
ALGORITHM = os.environ["CHANCERY_ALGORITHM"]
CLIENT = (os.environ["CHANCERY_CLIENT_ID"], os.environ["CHANCERY_CLIENT_SECRET"])
# The server listens on this machine only and has no TLS; authlib wants to be told that we know.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"


def discover():
    oidc = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()
    oauth = requests.get(f"{ISSUER}/.well-known/oauth-authorization-server", timeout=10).json()
    assert oidc["issuer"] == oauth["issuer"] == ISSUER, (oidc["issuer"], ISSUER)
    return oidc


def changed(token):
    """The same token with another role in it, under the old signature."""
    header, payload, signature = token.split(".")
    claims = jwt.utils.base64url_decode(payload).replace(b'"service"', b'"auditor"').replace(b'"clinician"', b'"auditor"')
    return f"{header}.{jwt.utils.base64url_encode(claims).decode()}.{signature}"


def refuses(what, error, call):
    try:
        call()
    except error:
        return
    raise AssertionError(f"{what} accepted it")


def with_pyjwt(metadata, token):
    client = jwt.PyJWKClient(metadata["jwks_uri"])

    def verify(token, audience=ISSUER, issuer=ISSUER):
        key = client.get_signing_key_from_jwt(token)
        required = {"require": ["exp", "iat", "iss", "aud", "sub", "jti", "client_id"]}
        return jwt.decode(token, key, algorithms=[ALGORITHM], audience=audience, issuer=issuer, options=required)

    claims = verify(token)
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    refuses("PyJWT", jwt.InvalidSignatureError, lambda: verify(changed(token)))
    refuses("PyJWT", jwt.InvalidAudienceError, lambda: verify(token, audience="https://other.test"))
    refuses("PyJWT", jwt.InvalidIssuerError, lambda: verify(token, issuer=ISSUER + "/"))
    return claims


def with_joserfc(metadata, token):
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": ISSUER}, sub={"essential": True}
    )

    def verify(token):
        read = joserfc_jwt.decode(token, keys, algorithms=[ALGORITHM])
        registry.validate(read.claims)
        return read

    read = verify(token)
    assert read.header["typ"] == "at+jwt" and read.header["alg"] == ALGORITHM, read.header
    refuses("joserfc", JoseError, lambda: verify(changed(token)))
    return read.claims


def with_authlib(metadata, token):
    keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    options = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": ISSUER}}

    def verify(token):
        claims = JsonWebToken([ALGORITHM]).decode(token, keys, claims_options=options)
        claims.validate()
        return claims

    claims = verify(token)
    refuses("authlib", AuthlibError, lambda: verify(changed(token)))
    return dict(claims)


def everyone_agrees(metadata, token):
    claims = with_pyjwt(metadata, token)
    assert with_joserfc(metadata, token) == claims
    assert with_authlib(metadata, token) == claims
    return claims


def as_a_program(metadata, method):
    session = OAuth2Session(*CLIENT, token_endpoint_auth_method=method)
    token = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    claims = everyone_agrees(metadata, token["access_token"])
    assert claims["sub"] == claims["client_id"] == CLIENT[0] and "sid" not in claims, claims
    said = session.introspect_token(metadata["introspection_endpoint"], token=token["access_token"]).json()
    assert said["active"] and said["jti"] == claims["jti"] and said["sub"] == CLIENT[0], said
    session.revoke_token(metadata["revocation_endpoint"], token=token["access_token"]).raise_for_status()
    said = session.introspect_token(metadata["introspection_endpoint"], token=token["access_token"]).json()
    assert said == {"active": False}, said


def as_a_person(metadata):
    login = {name: os.environ[f"CHANCERY_{name.upper()}"] for name in ("tenant", "username", "password")}
    tokens = requests.post(f"{ISSUER}/v1/auth/login", json=login, timeout=10)
    tokens.raise_for_status()
    first = everyone_agrees(metadata, tokens.json()["access_token"])
    assert first["sub"].startswith("usr_") and first["client_id"] == "chancery", first
    session = OAuth2Session("chancery", token_endpoint_auth_method="none")
    next_tokens = session.refresh_token(metadata["token_endpoint"], refresh_token=tokens.json()["refresh_token"])
    second = everyone_agrees(metadata, next_tokens["access_token"])
    assert second["sid"] == first["sid"] and second["jti"] != first["jti"], second


metadata = discover()
assert metadata["id_token_signing_alg_values_supported"] == [ALGORITHM], metadata
as_a_program(metadata, "client_secret_basic")
as_a_program(metadata, "client_secret_post")
as_a_person(metadata)
print(f"PyJWT {jwt.__version__}, joserfc and authlib read our {ALGORITHM} tokens and refuse changed ones")
