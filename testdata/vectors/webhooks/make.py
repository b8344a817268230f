"""Makes the vectors of webhooks with Python's own hmac, hashlib and `cryptography`: nothing of Chancery signs here.

    python3 testdata/vectors/webhooks/make.py

ECDSA draws a nonce, so google_health.json and apple_health.json differ from run to run; the others do not.
"""
import base64, hashlib, hmac, json, pathlib, struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = pathlib.Path(__file__).parent
NOW = 1_780_000_000
BODY = b'{"event_type":"update","data_type":"daily_sleep","object_id":"7f3a+/","user_id":"u-1", "n": 1.0}'
SPACED = json.dumps(json.loads(BODY)).encode()
LATIN = b'{"name":"Zo\xeb"}'
SECRETS = ["first-secret-0123456789abcdef", "second-secret-fedcba9876543210"]
b64 = lambda b: base64.b64encode(b).decode()
mac = lambda key, msg, how=hashlib.sha256: hmac.new(key, msg, how).digest()


def case(name, headers, body, expect, now=NOW, secret=0, **more):
    headers = [[k, v] for k, v in headers.items()] if isinstance(headers, dict) else headers
    out = {"name": name, "headers": headers, "body_base64": b64(body), "now": now, "expect": expect, **more}
    if expect == "valid":
        out["secret"] = secret
    return out


def write(name, provider, secrets, cases, **rules):
    text = json.dumps({"provider": provider, **rules, "secrets": secrets, "cases": cases}, indent=1)
    (HERE / f"{name}.json").write_text(text + "\n")


def flipped(body):
    return bytes([body[0], body[1] ^ 1]) + body[2:]


def common(make, stamped, wrong_case):
    """What every provider with a code must do. make(key_index, body, now, **) gives headers."""
    cases = [
        case("right", make(0, BODY), BODY, "valid"),
        case("the second secret", make(1, BODY), BODY, "valid", secret=1),
        case("a body that is not UTF-8", make(0, LATIN), LATIN, "valid"),
        case("an empty body", make(0, b""), b"", "valid"),
        case("a flipped bit", make(0, BODY), flipped(BODY), "wrong_signature"),
        case("the same JSON written anew", make(0, BODY), SPACED, "wrong_signature"),
        case("a secret of somebody else", make(None, BODY), BODY, "wrong_signature"),
        case("no header", [], BODY, "unsigned"),
    ]
    if wrong_case is not None:
        cases.append(case("the code in the wrong case", wrong_case(make(0, BODY)), BODY, "malformed"))
    if stamped:
        cases += [
            case("299 seconds old", make(0, BODY, now=NOW - 299), BODY, "valid"),
            case("300 seconds old", make(0, BODY, now=NOW - 300), BODY, "valid"),
            case("301 seconds old", make(0, BODY, now=NOW - 301), BODY, "outside_window"),
            case("300 seconds ahead", make(0, BODY, now=NOW + 300), BODY, "valid"),
            case("301 seconds ahead", make(0, BODY, now=NOW + 301), BODY, "outside_window"),
            case("in the other unit", make(0, BODY, other_unit=True), BODY, "outside_window"),
        ]
    twice = make(0, BODY)
    twice = [[k, v] for k, v in twice.items()]
    cases.append(case("the signature twice", twice + [twice[0]], BODY, "unsigned"))
    return cases


def key_of(index, secrets=SECRETS):
    return b"another-secret-of-somebody" if index is None else secrets[index].encode()


def swap(name):
    def change(headers):
        return {k: v.swapcase() if k == name else v for k, v in headers.items()}
    return change


def oura(i, body, now=NOW, other_unit=False):
    ts = str(now * 1000 if other_unit else now)
    return {"x-oura-signature": mac(key_of(i), ts.encode() + body).hex().upper(), "x-oura-timestamp": ts}


def whoop(i, body, now=NOW, other_unit=False):
    ts = str(now if other_unit else now * 1000)
    return {"x-whoop-signature": b64(mac(key_of(i), ts.encode() + body)), "x-whoop-signature-timestamp": ts}


def whoop_partner(i, body):
    return {"whoop-signed": mac(key_of(i), body).hex()}


def fitbit(i, body):
    return {"x-fitbit-signature": b64(mac(key_of(i) + b"&", body, hashlib.sha1))}


def strava(i, body, now=NOW, other_unit=False):
    ts = str(now * 1000 if other_unit else now)
    return {"x-strava-signature": f"t={ts},v1={mac(key_of(i), ts.encode() + b'.' + body).hex()}"}


def suunto(i, body):
    return {"x-hmac-sha256-signature": mac(key_of(i), body).hex()}


def with_plus():
    """A body whose base64 code has a plus, and how a reader that decodes URLs would see it."""
    for n in range(1000):
        body = json.dumps([{"collectionType": "sleep", "n": n}]).encode()
        headers = fitbit(0, body)
        if "+" in headers["x-fitbit-signature"]:
            spaced = {k: v.replace("+", " ") for k, v in headers.items()}
            quoted = {k: v.replace("+", "%2B") for k, v in headers.items()}
            return [case("a plus in the code", headers, body, "valid"),
                    case("a plus read as a blank", spaced, body, "malformed"),
                    case("a plus written as %2B", quoted, body, "malformed")]


write("oura", "oura", [["shared", s] for s in SECRETS], common(oura, True, swap("x-oura-signature")))
write("whoop", "whoop", [["shared", s] for s in SECRETS], common(whoop, True, None))
write("whoop_partner", "whoop_partner", [["shared", s] for s in SECRETS], common(whoop_partner, False, swap("whoop-signed")))
write("fitbit", "fitbit", [["shared", s] for s in SECRETS], common(fitbit, False, None) + with_plus() + [
    case("SHA-256 in the place of SHA-1", {"x-fitbit-signature": b64(mac(SECRETS[0].encode() + b"&", BODY))}, BODY, "wrong_signature"),
    case("without the ampersand", {"x-fitbit-signature": b64(mac(SECRETS[0].encode(), BODY, hashlib.sha1))}, BODY, "wrong_signature"),
])
two = strava(1, BODY)["x-strava-signature"].split(",")[1]
write("strava", "strava", [["shared", s] for s in SECRETS], [c for c in common(strava, True, None)] + [
    case("an unknown code before the right one", {"x-strava-signature": f"t={NOW},v1={'00' * 32},{two}"}, BODY, "valid", secret=1),
    case("the moment twice", {"x-strava-signature": f"t={NOW},t={NOW + 1},{two}"}, BODY, "unsigned"),
    case("the code under another name", {"x-strava-signature": f"t={NOW},v0={two[3:]}"}, BODY, "unsigned"),
    case("the code in capitals", {"x-strava-signature": f"t={NOW},v1={two[3:].upper()}"}, BODY, "malformed"),
])
write("suunto", "suunto", [["shared", s] for s in SECRETS], common(suunto, False, swap("x-hmac-sha256-signature")))

# Standard Webhooks: two published vectors, and our own.
RAW = [bytes(range(24)), bytes(range(100, 132))]
ed = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def standard(i, body, now=NOW, other_unit=False, id="msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"):
    ts = str(now * 1000 if other_unit else now)
    key = b"another-secret-of-somebody" if i is None else RAW[i]
    return {"webhook-id": id, "webhook-timestamp": ts, "webhook-signature": "v1," + b64(mac(key, f"{id}.{ts}.".encode() + body))}


def asymmetric(body, now=NOW, id="msg_a"):
    return {"webhook-id": id, "webhook-timestamp": str(now),
            "webhook-signature": "v1a," + b64(ed.sign(f"{id}.{now}.".encode() + body))}


right = standard(0, BODY)
cases = common(standard, True, None)
# `common` repeats the first header; here that is the id.
cases += [
    case("as Svix names it", {k.replace("webhook-", "svix-"): v for k, v in right.items()}, BODY, "valid"),
    case("an id of one family and a signature of the other", {"webhook-id": right["webhook-id"], "svix-timestamp": right["webhook-timestamp"], "svix-signature": right["webhook-signature"]}, BODY, "unsigned"),
    case("one of several signatures", {**right, "webhook-signature": "v1,AAAA v2,xyz " + right["webhook-signature"]}, BODY, "valid"),
    case("nine signatures", {**right, "webhook-signature": " ".join([right["webhook-signature"]] * 9)}, BODY, "malformed"),
    case("another version alone", {**right, "webhook-signature": right["webhook-signature"].replace("v1,", "v2,")}, BODY, "wrong_signature"),
    case("the signature in lower case", {**right, "webhook-signature": right["webhook-signature"].lower()}, BODY, "wrong_signature"),
    case("another id", {**right, "webhook-id": "msg_other"}, BODY, "wrong_signature"),
    case("a dot in the id", standard(0, BODY, id="msg.1"), BODY, "malformed"),
    case("a moment with a sign", {**right, "webhook-timestamp": "+" + right["webhook-timestamp"]}, BODY, "wrong_signature"),
    case("Ed25519", asymmetric(BODY), BODY, "valid", secret=2),
    case("Ed25519 and a flipped bit", asymmetric(BODY), flipped(BODY), "wrong_signature"),
    case("Ed25519 said to be HMAC", {**asymmetric(BODY), "webhook-signature": asymmetric(BODY)["webhook-signature"].replace("v1a", "v1")}, BODY, "wrong_signature"),
]
public = ed.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
write("standard", "standard", [["shared", "whsec_" + b64(RAW[0])], ["shared", b64(RAW[1])], ["public_key", "whpk_" + b64(public)]], cases)
write("standard_published", "standard", [["shared", "whsec_plJ3nmyCDGBKInavdOK15jsl"], ["shared", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]], [
    case("the example of the specification", {"webhook-id": "msg_loFOjxBNrRLzqYUf", "webhook-timestamp": "1731705121", "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="}, b'{"event_type":"ping","data":{"success":true}}', "valid", now=1731705121),
    case("the example of Svix's documentation", {"svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp": "1614265330", "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, b'{"test": 2432232314}', "valid", now=1614265330, secret=1),
])

# Generic: what GitHub and Slack publish as examples.
write("generic_github", "generic", [["shared", "It's a Secret to Everybody"]], [
    case("GitHub's example", {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, b"Hello, World!", "valid"),
    case("without the prefix", {"x-hub-signature-256": "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, b"Hello, World!", "malformed"),
    case("another body", {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, b"Hello, World?", "wrong_signature"),
], layout={"header": "x-hub-signature-256", "prefix": "sha256=", "encoding": "hex_lower", "hash": "sha256", "signed": "{body}"})
slack = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
code = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
write("generic_slack", "generic", [["shared", "8f742231b10e8888abcd99yyyzzz85a5"]], [
    case("Slack's example", {"x-slack-signature": code, "x-slack-request-timestamp": "1531420618"}, slack, "valid", now=1531420618),
    case("five minutes later", {"x-slack-signature": code, "x-slack-request-timestamp": "1531420618"}, slack, "outside_window", now=1531420919),
    case("another moment", {"x-slack-signature": code, "x-slack-request-timestamp": "1531420619"}, slack, "wrong_signature", now=1531420618),
], layout={"header": "x-slack-signature", "prefix": "v0=", "encoding": "hex_lower", "hash": "sha256",
           "stamp": {"place": "x-slack-request-timestamp", "unit": "seconds"}, "signed": "v0:{timestamp}:{body}"})

# Garmin: no code at all.
TOKEN = "k3JxwT0b8mQz5uYcR1nV7g"
notice = b'{"dailies":[{"userId":"u-1","callbackURL":"https://apis.garmin.com/wellness-api/rest/dailies?uploadStartTimeInSeconds=1"}]}'
write("garmin", "garmin", [["token", "a-token-of-another-24-chars"], ["token", TOKEN]], [
    case("right", {"garmin-client-id": "client-1"}, notice, "valid", secret=1, path_token=TOKEN),
    case("another client", {"garmin-client-id": "client-2"}, notice, "wrong_signature", path_token=TOKEN),
    case("no client", [], notice, "unsigned", path_token=TOKEN),
    case("no token", {"garmin-client-id": "client-1"}, notice, "unsigned"),
    case("another token", {"garmin-client-id": "client-1"}, notice, "wrong_signature", path_token=TOKEN.swapcase()),
    case("an address inside", {"garmin-client-id": "client-1"}, notice.replace(b"apis.garmin.com", b"169.254.169.254"), "malformed", path_token=TOKEN),
    case("not JSON", {"garmin-client-id": "client-1"}, b"\xff\xfe", "malformed", path_token=TOKEN),
], client_id="client-1")

# Google Health: Tink signatures.
google = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
other = ec.derive_private_key(0xFEDCBA, ec.SECP256R1())


def field(n, data):
    return bytes([n << 3 | 2, len(data)]) + data


def tink_key(key, key_id, status="ENABLED"):
    numbers = key.public_key().public_numbers()
    # As Tink's Java writes them: two's complement, so a zero in front of a high bit.
    coordinate = lambda v: v.to_bytes(v.bit_length() // 8 + 1, "big")
    value = field(2, bytes([8, 3, 16, 2, 24, 2])) + field(3, coordinate(numbers.x)) + field(4, coordinate(numbers.y))
    return {"keyData": {"typeUrl": "type.googleapis.com/google.crypto.tink.EcdsaPublicKey", "value": b64(value),
            "keyMaterialType": "ASYMMETRIC_PUBLIC"}, "status": status, "keyId": key_id, "outputPrefixType": "TINK"}


def tink(key, key_id, body, prefix=1):
    return b64(bytes([prefix]) + struct.pack(">I", key_id) + key.sign(body, ec.ECDSA(hashes.SHA256())))


keyset = json.dumps({"primaryKeyId": 77, "key": [tink_key(google, 77), tink_key(other, 78, "DISABLED")]})
auth = "a-token-that-google-shows"
name = "x-healthapi-signature"
write("google_health", "google_health", [["token", auth], ["public_key", keyset]], [
    case("right", {name: tink(google, 77, BODY), "authorization": auth}, BODY, "valid", secret=1),
    case("without the token", {name: tink(google, 77, BODY)}, BODY, "valid", secret=1),
    case("the other name of the header", {"google-health-api-signature": tink(google, 77, BODY)}, BODY, "valid", secret=1),
    case("a wrong token", {name: tink(google, 77, BODY), "authorization": "another"}, BODY, "wrong_signature"),
    case("the token alone", {"authorization": auth}, BODY, "unsigned"),
    case("a flipped bit", {name: tink(google, 77, BODY)}, flipped(BODY), "wrong_signature"),
    case("an unknown key", {name: tink(google, 79, BODY)}, BODY, "wrong_signature"),
    case("a key that is disabled", {name: tink(other, 78, BODY)}, BODY, "wrong_signature"),
    case("a stranger under the key's id", {name: tink(other, 77, BODY)}, BODY, "wrong_signature"),
    case("another prefix", {name: tink(google, 77, BODY, prefix=0)}, BODY, "malformed"),
    case("a body that is not UTF-8", {name: tink(google, 77, LATIN)}, LATIN, "valid", secret=1),
])

# Apple Health: App Attest assertions by hand.
device = ec.derive_private_key(0xA11CE, ec.SECP256R1())
point = device.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
APP = "A1B2C3D4E5.org.example.clinic"


def assertion(body, counter=1, now=NOW, app=APP, key=device):
    data = hashlib.sha256(app.encode()).digest() + b"\x40" + struct.pack(">I", counter)
    nonce = hashlib.sha256(data + hashlib.sha256(f"{now}.".encode() + body).digest()).digest()
    signature = key.sign(nonce, ec.ECDSA(hashes.SHA256()))
    cbor = b"\xa2\x69signature\x58" + bytes([len(signature)]) + signature + b"\x71authenticatorData\x58" + bytes([len(data)]) + data
    return {"x-app-attest-assertion": b64(cbor), "x-app-attest-key-id": b64(hashlib.sha256(point).digest()), "x-app-attest-timestamp": str(now)}


write("apple_health", "apple_health", [["public_key", b64(point)]], [
    case("right", assertion(BODY), BODY, "valid"),
    case("a body that is not UTF-8", assertion(LATIN), LATIN, "valid"),
    case("a flipped bit", assertion(BODY), flipped(BODY), "wrong_signature"),
    case("another application", assertion(BODY, app="A1B2C3D4E5.org.example.other"), BODY, "wrong_signature"),
    case("another key under this one's id", assertion(BODY, key=other), BODY, "wrong_signature"),
    case("a count that does not grow", assertion(BODY, counter=0), BODY, "replayed"),
    case("301 seconds old", assertion(BODY, now=NOW - 301), BODY, "outside_window"),
    case("another moment", {**assertion(BODY), "x-app-attest-timestamp": str(NOW + 1)}, BODY, "wrong_signature"),
    case("no assertion", {k: v for k, v in assertion(BODY).items() if k != "x-app-attest-assertion"}, BODY, "unsigned"),
    case("not CBOR", {**assertion(BODY), "x-app-attest-assertion": b64(b"\xa3abc")}, BODY, "malformed"),
], app_ids=[APP])
