"""What somebody tries who wants past whatever stands in front of the application. `cargo xtask clinic` runs this.

The application says back which headers it got (`/api/echo`), and takes requests with a right assertion only. The uvicorn around it tells
what came at all (`recorded.py`).
"""

import itertools
import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

FRONT, APPLICATION = os.environ["CLINIC_FRONT"], os.environ["CLINIC_APPLICATION"]
KEY, LIMITED, TENANT = os.environ["CLINIC_KEY"], os.environ["CLINIC_LIMITED_KEY"], os.environ["CLINIC_TENANT"]
OURS = {"Authorization": f"Bearer {KEY}"}
# A request's own lines, where no library writes them.
HOST, BEARER = f"Host: {FRONT.removeprefix('http://')}", f"Authorization: Bearer {KEY}"

client = httpx.Client(timeout=20)
checks = 0


def check(what, holds, shown=""):
    global checks
    checks += 1
    assert holds, f"{what}: {shown}"


def spellings(name):
    """The name in every case that matters, and with every `-` as `_`, alone and all at once."""
    parts = name.split("-")
    joints = {"-" * (len(parts) - 1), "_" * (len(parts) - 1), "_" + "-" * (len(parts) - 2), "-" * (len(parts) - 2) + "_"}
    for joint in sorted(joints):
        spelled = "".join(itertools.chain.from_iterable(itertools.zip_longest(parts, joint, fillvalue="")))
        yield from (spelled.lower(), spelled.upper(), spelled.title(), spelled.swapcase())


def connected():
    name, port = FRONT.removeprefix("http://").split(":")
    return socket.create_connection((name, int(port)), 10)


def sent(text):
    """An answer to bytes that no client library would send."""
    with connected() as connection:
        connection.sendall(text.encode("latin-1"))
        answer = b""
        try:
            while chunk := connection.recv(65_536):
                answer += chunk
        except ConnectionResetError:
            pass  # behind an answer that is an end too
    assert answer, f"no answer to {text!r}"
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def raw(lines):
    return sent("\r\n".join([*lines, "", ""]))


def code(answer):
    """The status, and the code of a refusal of the gateway's own."""
    status, body = answer
    start, end = body.find(b"{"), body.rfind(b"}")
    try:
        return status, json.loads(body[start : end + 1]).get("code")
    except json.JSONDecodeError:
        return status, body[:300]


marks = (f"mark-{number}-" for number in itertools.count())


def came(mark):
    """The targets with this mark that uvicorn read, whoever judged them afterwards."""
    return [target for target in client.get(f"{APPLICATION}/came").json() if mark in target]


def seen(answer):
    """The headers that the application got, by their names as a program reads them that knows no `-`."""
    status, body = answer
    assert status == 200, (status, body[:300])
    start, end = body.index(b"{"), body.rindex(b"}")
    return [(name.lower().replace("_", "-"), value) for name, value in json.loads(body[start : end + 1])["headers"]]


def forged_identities():
    names = ("X-Auth-Subject", "X-Auth-Tenant", "X-Auth-Roles", "X-Auth-Assertion", "X-Tenant-Id", "X-Auth-Method",
             "X-Auth-Decision-Id")
    for name in names:
        for spelled in spellings(name):
            headers = seen(raw(["GET /api/echo HTTP/1.1", HOST, "Connection: close", BEARER, f"{spelled}: forged"]))
            check(f"{spelled} got through", all("forged" not in value for _, value in headers), headers)
            subjects = [value for read, value in headers if read == "x-auth-subject"]
            check(f"with {spelled} the caller is told once", len(subjects) == 1 and subjects[0].startswith("apk_"), subjects)
            tenants = [value for read, value in headers if read == "x-auth-tenant"]
            check(f"with {spelled} the tenant is the credential's", tenants == [TENANT], tenants)


def strangers():
    for headers in ({}, {"X-Auth-Subject": "usr_1"}, {"Authorization": "Bearer chy_dev_garbage"}, {"X-Api-Key": "garbage"}):
        answer = client.get(f"{FRONT}/api/patients", headers=headers)
        check(f"{list(headers)} is nobody", answer.status_code == 401, answer.status_code)
    check("the challenge comes through", "bearer" in answer.headers["www-authenticate"].lower(), dict(answer.headers))
    for path in ("/api/../api/patients", "/api/%70atients", "//api/patients", "/health/../api/patients", "/hooks/lab/../../api/patients"):
        mark = next(marks)
        status, _ = raw([f"GET {path}?{mark} HTTP/1.1", "Host: x", "Connection: close"])
        check(f"{path} is no way round", status in (400, 401, 404), status)
        check(f"{path} does not arrive", not came(mark), came(mark))
    answer = client.get(f"{FRONT}/chancery/auth", headers=OURS)
    check("nobody outside asks Chancery through nginx", answer.status_code in (401, 404), answer.status_code)


def direct():
    for headers in ({}, OURS, {"X-Auth-Subject": "usr_1"}, {"X-Auth-Assertion": "a.b.c"}):
        answer = client.get(f"{APPLICATION}/api/patients", headers=headers)
        check(f"direct traffic with {list(headers)}", answer.status_code == 403, answer.status_code)
        check("is told why", answer.json()["code"].startswith("assertion."), answer.text)


def stolen_assertions():
    headers = seen(raw(["GET /api/echo HTTP/1.1", HOST, "Connection: close", BEARER]))
    check("the credential itself does not go on", all(KEY not in value for _, value in headers), headers)


def preflights():
    """A page of another origin has its browser ask first, without a credential; nobody else gets through as one."""
    asked = {"Origin": "https://page.test", "Access-Control-Request-Method": "POST"}
    answer = client.options(f"{FRONT}/api/patients", headers=asked)
    check("the application answers a preflight", answer.status_code == 200, (answer.status_code, answer.text))
    allowed = answer.headers.get("access-control-allow-origin")
    check("and says whose pages may call", allowed == "https://page.test", dict(answer.headers))
    for headers in ({}, {"Origin": "https://page.test"}, {**asked, "Cookie": "a=b"}, {**asked, "Authorization": "Bearer chy_dev_x"}):
        answer = client.options(f"{FRONT}/api/patients", headers=headers)
        check(f"OPTIONS with {list(headers)} is nobody", answer.status_code == 401, answer.status_code)
    answer = client.get(f"{FRONT}/api/patients", headers=asked)
    check("a page without a credential is nobody", answer.status_code == 401, answer.status_code)


def limits():
    headers = {"Authorization": f"Bearer {LIMITED}"}
    statuses = [client.get(f"{FRONT}/api/patients", headers=headers) for _ in range(6)]
    codes = [answer.status_code for answer in statuses]
    check("who asks too often is told so", codes[:2] == [200, 200] and codes[-1] == 429, codes)
    check("and when to come back", statuses[-1].headers["retry-after"].isdigit(), dict(statuses[-1].headers))


def through():
    answer = client.post(f"{FRONT}/api/patients", headers=OURS, json={"name": "Ada", "ward": "west"})
    check("a request with a credential gets through", answer.status_code == 201, answer.text)
    answer = client.get(f"{FRONT}/api/patients?limit=1&tenant=another", headers=OURS)
    check("another tenant's name is not believed", answer.status_code in (200, 403), answer.text)


def refused(answer, pointers):
    problem = answer.json() if answer.status_code == 422 else {}
    check("a refusal of the gateway's own", problem.get("code") == "request.invalid", (answer.status_code, answer.text))
    check("names the places", {error["pointer"] for error in problem["errors"]} == pointers, problem)
    return answer.text


def bodies():
    """What the application's document says is held to before the application is asked."""
    told = refused(client.post(f"{FRONT}/api/lattices", headers=OURS, json={"name": "  ", "dimensions": 77123, "size": 1}),
                   {"/name", "/dimensions", "/size"})
    check("and never the value", "77123" not in told, told)
    doubled = b'{"dimensions": 1, "size": 2, "size": 3}'
    answer = client.post(f"{FRONT}/api/lattices", headers={**OURS, "Content-Type": "application/json"}, content=doubled)
    refused(answer, {""})
    refused(client.get(f"{FRONT}/api/patients?limit=1&limit=2", headers=OURS), {""})
    answer = client.post(f"{FRONT}/api/lattices", headers={**OURS, "Content-Type": "text/plain"}, content=b"{}")
    check("another media type", answer.status_code == 415, answer.status_code)


def uploads():
    for name in ("../../etc/passwd", "..%2f..%2fx", "C:\\x", "a.txt:b", "NUL"):
        answer = client.post(f"{FRONT}/api/documents", headers=OURS, data={"kind": "x"}, files={"file": (name, b"x")})
        refused(answer, {""})


def paths():
    """With a key that opens everything: what has two readings is nobody's, and the application never hears of it."""
    for path in (
        "/api/../api/patients", "//api/patients", "/health/../api/patients", "/hooks/lab/../../api/patients", "/api%2fpatients",
        "/api%252fpatients", "/api/%2e%2e/api/patients", "/api/%252e%252e/api/patients", "/health/..;/api/patients", "/api\\patients",
        "/health/..%5capi/patients", "/api/patients%00",
    ):
        mark = next(marks)
        answer = code(raw([f"GET {path}?{mark} HTTP/1.1", HOST, "Connection: close", BEARER]))
        check(f"{path} has two readings", answer == (400, "request.path_ambiguous"), answer)
        check(f"{path} goes no further", not came(mark), came(mark))
    mark = next(marks)
    seen(raw([f"GET /api/ech%6f?{mark} HTTP/1.1", HOST, "Connection: close", BEARER]))
    check("one that has one reading arrives in it", came(mark) == [f"/api/echo?{mark}"], came(mark))


def hop_by_hop():
    """What `Connection` names is for the gateway alone, and it names nothing of the gateway's own."""
    named = "X-Inner, X-Auth-Assertion, X-Auth-Subject, X-Forwarded-For, X-Request-Id"
    headers = seen(raw([
        "GET /api/echo HTTP/1.1", HOST, BEARER, f"Connection: close, {named}", "X-Inner: 1", "Keep-Alive: 5", "TE: gzip",
        "Proxy-Authorization: x", "Upgrade: h2c", "HTTP2-Settings: AAA",
    ]))
    names = [name for name, _ in headers]
    for name in ("x-inner", "keep-alive", "te", "proxy-authorization", "upgrade", "http2-settings"):
        check(f"{name} is not the application's", name not in names, headers)
    for name in ("x-auth-subject", "x-forwarded-for", "x-request-id"):
        check(f"{name} of the gateway stays", names.count(name) == 1, headers)


def smuggled():
    """A second request, in what one program takes for a body and another does not."""
    for framing in (
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 44\r\n\r\n",
        "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Host: other.test\r\n\r\n",
    ):
        outer, hidden = next(marks), next(marks)
        inner = f"GET /api/echo?{hidden} HTTP/1.1\r\n{HOST}\r\n{BEARER}\r\n\r\n"
        answer = code(sent(f"POST /api/echo?{outer} HTTP/1.1\r\n{HOST}\r\n{BEARER}\r\n{framing}{inner}"))
        check(f"{framing!r} is not clear", answer == (400, "request.malformed"), answer)
        check(f"{framing!r} goes no further", not came(outer) and not came(hidden), came(outer) + came(hidden))
    chunked = f"HTTP/1.1\r\n{HOST}\r\n{BEARER}\r\nTransfer-Encoding: chunked\r\n"
    for chunks in (
        "3\nabc\n0\n\n", "3;\x01\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
    ):
        hidden = next(marks)
        inner = f"GET /api/echo?{hidden} HTTP/1.1\r\n{HOST}\r\n{BEARER}\r\n\r\n"
        answer = code(sent(f"POST /api/echo {chunked}\r\n{chunks}{inner}"))
        check(f"{chunks!r} is odd", answer == (400, "request.malformed"), answer)
        check(f"nothing hides behind {chunks!r}", not came(hidden), came(hidden))
    # What is fine arrives as a body, whatever it looks like.
    outer, hidden = next(marks), next(marks)
    inner = f"GET /api/echo?{hidden} HTTP/1.1\r\n{HOST}\r\n{BEARER}\r\n\r\n"
    seen(sent(f"POST /api/echo?{outer} {chunked}Connection: close\r\n\r\n{len(inner):x}\r\n{inner}\r\n0\r\n\r\n"))
    check("a request in a body stays in it", len(came(outer)) == 1 and not came(hidden), came(outer) + came(hidden))


def once():
    """What reached the application is not sent again, though it cut the connection and said nothing."""
    for method, body in (("POST", {"name": "Ada"}), ("PUT", {"name": "Ada"}), ("DELETE", None)):
        mark = next(marks)
        answer = client.request(method, f"{FRONT}/api/dropped?{mark}", headers=OURS, json=body)
        check(f"{method} without an answer is told", answer.status_code == 502, answer.status_code)
        check(f"{method} came once", len(came(mark)) == 1, came(mark))


def slow(head, seconds):
    """Says this, then a byte each second on each of ten connections; what each was answered, `None` for one that is still open."""
    connections = [connected() for _ in range(10)]
    answers = dict.fromkeys(connections)
    for connection in connections:
        connection.sendall(head.encode())
        connection.setblocking(False)
    deadline = time.monotonic() + seconds
    while None in answers.values() and time.monotonic() < deadline:
        for connection in [connection for connection, answer in answers.items() if answer is None]:
            try:
                connection.send(b"y")
                answers[connection] = connection.recv(65_536)
            except BlockingIOError:
                pass
            except OSError:
                answers[connection] = b""
        time.sleep(1)
    for connection in connections:
        connection.close()
    return list(answers.values())


def slow_heads():
    mark = next(marks)
    answers = slow(f"GET /api/echo?{mark} HTTP/1.1\r\n{HOST}\r\n{BEARER}\r\nX: ", 14)
    return [
        ("slow heads end", None not in answers, answers),
        ("and arrive nowhere", not came(mark), came(mark)),
    ]


def slow_bodies():
    answers = slow(f"POST /api/echo HTTP/1.1\r\n{HOST}\r\n{BEARER}\r\nContent-Length: 1000\r\n\r\n", 45)
    return [("slow bodies end, and the application answers none of them", all(
        answer is not None and not answer.startswith(b"HTTP/1.1 200") for answer in answers
    ), answers)]


def revoked():
    """What is open ends with the key that opened it."""
    officer = httpx.Client(base_url=os.environ["CLINIC_API"], headers={"Authorization": f"Bearer {os.environ['CLINIC_OFFICER']}"})

    def made():
        answer = officer.post("/v1/api-keys", json={"description": "soon revoked", "roles": ["clinician"]})
        assert answer.is_success, answer.text
        return answer.json()["id"], {"Authorization": f"Bearer {answer.json()['key']}"}

    def revoke(key):
        answer = officer.post(f"/v1/api-keys/{key}/revoke", json={})
        assert answer.is_success, answer.text
        return time.monotonic() + 5

    key, headers = made()
    with connect(FRONT.replace("http", "ws", 1) + "/api/live/ward/west", additional_headers=headers) as ward:
        ward.recv(5)
        ward.send("before")
        check("a socket is open", ward.recv(5) == "before")
        deadline, ended = revoke(key), False
        while not ended and time.monotonic() < deadline:
            try:
                ward.send("after")
                ward.recv(1)
                time.sleep(0.05)
            except TimeoutError:
                pass  # it is silent, which is no end
            except ConnectionClosed:
                ended = True
    check("a socket ends with its key", ended)
    answer = client.get(f"{FRONT}/api/patients", headers=headers)
    check("which opens nothing more", answer.status_code == 401, answer.status_code)

    key, headers = made()
    events, ended = 0, False
    with client.stream("GET", f"{FRONT}/api/live/events?count=1000&every_ms=50", headers=headers) as response:
        check("events are open", response.status_code == 200, response.status_code)
        try:
            deadline = None
            for line in response.iter_lines():
                events += line.startswith("data: ")
                deadline = deadline or revoke(key)
                if time.monotonic() > deadline:
                    break  # they go on
            else:
                ended = True
        except (httpx.NetworkError, httpx.ProtocolError):
            ended = True  # silence is no end: it is a `TimeoutException`
    check("events end with their key", ended and events, (ended, events))


def demands():
    """What the routes of gateway.toml demand besides a credential."""
    mark = next(marks)
    answer = client.get(f"{FRONT}/api/closed?{mark}", headers=OURS)
    check("who lacks the role is refused", answer.status_code == 403 and not came(mark), (answer.text, came(mark)))
    mark = next(marks)
    statuses = [client.get(f"{FRONT}/api/seldom?{mark}", headers=OURS).status_code for _ in range(4)]
    check("the route's own limit counts", statuses == [404, 404, 429, 429] and len(came(mark)) == 2, (statuses, came(mark)))
    answer = client.get(f"{FRONT}/api/patients?tenant=a&tenant=b", headers=OURS)
    check("a parameter that may come once", answer.status_code == 400, answer.text)
    answer = client.get(f"{FRONT}/api/patients", headers=OURS)
    policy = answer.headers.get("content-security-policy", "")
    check("the profile is on answers", policy.startswith("default-src 'self'"), dict(answer.headers))
    check("and what it runs on is not", "server" not in answer.headers, dict(answer.headers))
    auditor = httpx.Client(base_url=os.environ["CLINIC_API"], headers={"Authorization": f"Bearer {os.environ['CLINIC_AUDITOR']}"})
    around = [(datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (-1, 1)]
    query = {"from": around[0], "to": around[1], "type": "request.forwarded", "limit": 1000}
    events = auditor.get("/v1/audit/events", params=query).json()["items"]
    cores = [event["core"] for event in events]
    check("each is in the log before it goes on", any('"route":"/api/*"' in core for core in cores), cores[:2])
    check("by its route and not its path", not any("patients" in core or "mark-" in core for core in cores), cores[:2])


waiting = []
if os.environ.get("CLINIC_GATEWAY"):
    # They take their time beside everything else.
    pool = ThreadPoolExecutor()
    waiting = [pool.submit(attack) for attack in (slow_heads, *([slow_bodies] if os.environ.get("CLINIC_LONG") else []))]
forged_identities()
if os.environ.get("CLINIC_GATEWAY"):
    bodies()
    uploads()
    paths()
    hop_by_hop()
    smuggled()
    revoked()
    demands()
strangers()
preflights()
direct()
stolen_assertions()
once()
limits()
through()
for found in waiting:
    for what, holds, shown in found.result():
        check(what, holds, shown)
print(f"{checks} checks passed, 0 failed")
