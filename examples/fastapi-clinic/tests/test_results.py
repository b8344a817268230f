"""What the laboratory sends: not one byte may change on the way."""

import hashlib
import hmac
import os

SECRET = os.environ.get("CLINIC_LAB_SECRET", "lab-secret-for-the-tests-only").encode()
# Spaces, an escape, a number that no float holds, and the order of members: whoever parses and writes it again changes it.
BODY = b'{"b": 1.10, "a" :12345678901234567890,\n "name": "\\u017dofie"  }'


def send(client, body: bytes, signature: str):
    headers = {"X-Lab-Signature": signature, "Content-Type": "application/json"}
    return client.post("/hooks/lab", content=body, headers=headers)


def test_a_signed_result_is_taken(client):
    signature = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
    response = send(client, BODY, signature)
    assert response.status_code == 202 and response.json() == {"size": len(BODY)}


def test_a_changed_one_is_not(client):
    signature = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
    assert send(client, BODY + b" ", signature).status_code == 401
    assert send(client, BODY, signature.upper()).status_code == 401
