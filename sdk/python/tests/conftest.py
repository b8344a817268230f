"""A gateway's keys, an application on a real uvicorn, and assertions that are right or not quite."""

import base64
import hashlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from chancery import ChanceryMiddleware, current_caller, get_authenticated_user_id, get_caller, has_role

ISSUER, AUDIENCE = "https://id.example", "clinic"
SIGNING = {
    "ES256": (ec.generate_private_key(ec.SECP256R1()), jwt.algorithms.ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), jwt.algorithms.OKPAlgorithm),
    "RS256": (rsa.generate_private_key(public_exponent=65537, key_size=2048), jwt.algorithms.RSAAlgorithm),
}


def public(algorithm: str) -> dict[str, Any]:
    private, kind = SIGNING[algorithm]
    return {**json.loads(kind.to_jwk(private.public_key())), "kid": f"key-{algorithm}", "use": "sig", "alg": algorithm}


class Jwks:
    """Where the keys are: counts who asks, and fails when told to."""

    def __init__(self) -> None:
        self.asked, self.fails, self.keys = 0, False, [public(name) for name in SIGNING]
        jwks = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                jwks.asked += 1
                self.send_response(500 if jwks.fails else 200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": jwks.keys}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/.well-known/jwks.json"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()


async def who(request: Request) -> JSONResponse:
    caller = get_caller()
    headers = [[name.decode(), value.decode()] for name, value in request.headers.raw if b"auth" in name or b"tenant" in name]
    return JSONResponse(
        {"user": get_authenticated_user_id(), "tenant": caller.tenant_id, "amr": list(caller.amr),
         "clinician": has_role("clinician"), "state": request.state.caller.subject, "headers": headers,
         "body": (await request.body()).decode()}
    )


def anybody(_: Request) -> JSONResponse:
    # Not a coroutine: it runs in a thread, and the caller is known there too.
    caller = current_caller()
    return JSONResponse({"user": caller and caller.subject, "clinician": has_role("clinician")})


async def ward(ward: WebSocket) -> None:
    await ward.accept()
    await ward.send_text(get_authenticated_user_id())
    await ward.close()


def application(url: str, **options: Any) -> Starlette:
    methods = ["GET", "POST"]
    routes = [Route("/who/{name:path}", who, methods=methods), Route("/anybody", anybody), Route("/health", anybody)]
    app = Starlette(routes=[*routes, WebSocketRoute("/ward", ward)])
    app.add_middleware(
        ChanceryMiddleware, issuer=ISSUER, audience=AUDIENCE, jwks_url=url, exempt=["/health"], **options
    )
    return app


def serve(app: Any, **options: Any) -> tuple[str, Callable[[], None]]:
    port = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(10)

    while not server.started:
        time.sleep(0.01)
    return f"127.0.0.1:{port.getsockname()[1]}", stop


@pytest.fixture(scope="session")
def jwks() -> Jwks:
    return Jwks()


@pytest.fixture(scope="session")
def address(jwks: Jwks) -> Iterator[str]:
    address, stop = serve(application(jwks.url))
    yield address
    stop()


def assertion(
    method: str = "GET", path: str = "/who/me", algorithm: str = "ES256", header: dict | None = None, **claims: Any
) -> str:
    now = int(time.time())
    digest = hashlib.sha256(f"{method}\n{path}".encode()).digest()
    told = {
        "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60, "jti": "req_1", "sub": "usr_1",
        "tenant_id": "ten_1", "tenant": "north", "roles": ["clinician"], "auth": "password", "amr": ["pwd", "otp"],
        "request": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    told = {name: value for name, value in (told | claims).items() if value is not None}
    private, _ = SIGNING[algorithm]
    more = {"typ": "auth-assertion+jwt", "kid": f"key-{algorithm}"} | (header or {})
    return jwt.encode(told, private, algorithm=algorithm, headers=more)
