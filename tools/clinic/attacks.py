"""What somebody tries who wants past whatever stands in front of the application. `cargo xtask clinic` runs this.

The application says back which headers it got (`/api/echo`), and takes requests with a right assertion only.
"""

import itertools
import json
import os
import socket

import httpx

FRONT, APPLICATION = os.environ["CLINIC_FRONT"], os.environ["CLINIC_APPLICATION"]
KEY, LIMITED, TENANT = os.environ["CLINIC_KEY"], os.environ["CLINIC_LIMITED_KEY"], os.environ["CLINIC_TENANT"]
OURS = {"Authorization": f"Bearer {KEY}"}

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


def raw(host, lines):
    """An answer to bytes that no client library would send."""
    name, port = host.removeprefix("http://").split(":")
    with socket.create_connection((name, int(port)), 10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def seen(answer):
    """The headers that the application got, by their names as a program reads them that knows no `-`."""
    status, body = answer
    assert status == 200, (status, body[:300])
    start, end = body.index(b"{"), body.rindex(b"}")
    return [(name.lower().replace("_", "-"), value) for name, value in json.loads(body[start : end + 1])["headers"]]


def forged_identities():
    names = ("X-Auth-Subject", "X-Auth-Tenant", "X-Auth-Roles", "X-Auth-Assertion", "X-Tenant-Id", "X-Auth-Method")
    for name in names:
        for spelled in spellings(name):
            lines = [f"GET /api/echo HTTP/1.1", f"Host: {FRONT.removeprefix('http://')}", "Connection: close"]
            answer = raw(FRONT, [*lines, f"Authorization: Bearer {KEY}", f"{spelled}: forged"])
            headers = seen(answer)
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
        status, _ = raw(FRONT, [f"GET {path} HTTP/1.1", "Host: x", "Connection: close"])
        check(f"{path} is no way round", status in (400, 401, 404), status)
    answer = client.get(f"{FRONT}/chancery/auth", headers=OURS)
    check("nobody outside asks Chancery through nginx", answer.status_code in (401, 404), answer.status_code)


def direct():
    for headers in ({}, OURS, {"X-Auth-Subject": "usr_1"}, {"X-Auth-Assertion": "a.b.c"}):
        answer = client.get(f"{APPLICATION}/api/patients", headers=headers)
        check(f"direct traffic with {list(headers)}", answer.status_code == 403, answer.status_code)
        check("is told why", answer.json()["code"].startswith("assertion."), answer.text)


def stolen_assertions():
    headers = seen(raw(FRONT, [
        "GET /api/echo HTTP/1.1", f"Host: {FRONT.removeprefix('http://')}", "Connection: close", f"Authorization: Bearer {KEY}",
    ]))
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


forged_identities()
if os.environ.get("CLINIC_GATEWAY"):
    bodies()
    uploads()
strangers()
preflights()
direct()
stolen_assertions()
limits()
through()
print(f"{checks} checks passed, 0 failed")
