"""Standard Webhooks' own library for Python signs for us and verifies what we sign.

CHANCERY_BINARY is the program. Every case exits with 1 when it does not hold.
"""

import base64
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

BINARY = os.environ["CHANCERY_BINARY"]
BODIES = ['{"event_type":"ping","data":{"success":true}}', "{}", '{"name":"Zo\u00eb \u2603","n":1.0}', "[" + "1," * 50_000 + "1]"]


def chancery(verb, secret, body, *arguments):
    done = subprocess.run(
        [BINARY, "webhook", verb, "--provider", "standard", "--secret-env", "WEBHOOK_TEST", *arguments],
        input=body.encode(), capture_output=True, env={**os.environ, "WEBHOOK_TEST": secret}, check=False,
    )
    return done.returncode, done.stdout.decode()


def check(holds, what):
    if not holds:
        sys.exit(f"webhooks.py: {what}")


def headers_of(text):
    return dict(line.split(": ", 1) for line in text.splitlines())


def as_arguments(headers):
    return [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]


for length in (24, 32, 64):
    secret = "whsec_" + base64.b64encode(os.urandom(length)).decode()
    library = Webhook(secret)
    for number, body in enumerate(BODIES):
        code, out = chancery("sign", secret, body, "--id", f"msg_{number}")
        check(code == 0, f"we do not sign: {out}")
        library.verify(body, headers_of(out))
        try:
            library.verify(body + " ", headers_of(out))
            check(False, "the library takes a changed body: the test proves nothing")
        except WebhookVerificationError:
            pass

        now = datetime.now(timezone.utc)
        theirs = {
            "webhook-id": f"msg_{number}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": library.sign(f"msg_{number}", now, body),
        }
        check(chancery("verify", secret, body, *as_arguments(theirs))[0] == 0, "we refuse what the library signs")
        check(chancery("verify", secret, body + " ", *as_arguments(theirs))[0] == 3, "we take a changed body")
        old = now - timedelta(seconds=301)
        stale = {**theirs, "webhook-timestamp": str(int(old.timestamp())), "webhook-signature": library.sign(f"msg_{number}", old, body)}
        check(chancery("verify", secret, body, *as_arguments(stale))[0] == 3, "we take what is too old")
        both = {**theirs, "webhook-signature": "v1," + base64.b64encode(bytes(32)).decode() + " " + theirs["webhook-signature"]}
        check(chancery("verify", secret, body, *as_arguments(both))[0] == 0, "we look at the first signature alone")
print("webhooks.py: Standard Webhooks for Python agrees in both directions")
