"""An authenticator off the shelf against a running Chancery: pyotp makes the one-time codes. `cargo xtask clients` runs this."""

import os
import time

import pyotp
import requests

SERVER = os.environ["CHANCERY_ISSUER"]
LOGIN = {"tenant": os.environ["CHANCERY_TENANT"], "username": "ben", "password": os.environ["CHANCERY_PASSWORD"]}


def post(path, body, token=None):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return requests.post(SERVER + path, json=body, headers=headers, timeout=10)


def ok(answer):
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return answer.json()


def refused(answer, status):
    assert answer.status_code == status, (answer.status_code, answer.text)


def main():
    token = ok(post("/v1/auth/login", LOGIN))["access_token"]
    begun = ok(post("/v1/me/mfa/totp", {}, token))
    # What people scan and what they type are the same.
    scanned, typed = pyotp.parse_uri(begun["otpauth_uri"]), pyotp.TOTP(begun["secret"])
    assert scanned.now() == typed.now()
    assert scanned.digits == 6 and scanned.interval == 30 and scanned.issuer, vars(scanned)
    # A code is taken one step late or early: what follows takes less than a step.
    now = int(time.time())
    refused(post("/v1/me/mfa/totp/confirm", {"code": scanned.at(now - 150)}, token), 422)
    codes = ok(post("/v1/me/mfa/totp/confirm", {"code": scanned.at(now)}, token))["recovery_codes"]
    assert len(codes) == 10

    asked = ok(post("/v1/auth/login", LOGIN))
    assert asked["methods"] == ["totp", "recovery_code"], asked
    step = {"mfa_token": asked["mfa_token"]}
    refused(post("/v1/auth/mfa/totp", {**step, "code": scanned.at(now)}), 401)
    tokens = ok(post("/v1/auth/mfa/totp", {**step, "code": scanned.at(now + 30)}))
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    session = ok(requests.get(f"{SERVER}/v1/auth/session", headers=headers, timeout=10))
    assert session["amr"] == ["pwd", "otp", "mfa"], session
    print("pyotp's codes enrol and log in, each once")


main()
