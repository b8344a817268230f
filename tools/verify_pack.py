#!/usr/bin/env python3
"""Checks an audit pack of Chancery with nothing but the pack and a trust file: python3 verify_pack.py PACK --trust FILE

Written from docs/adr/0024-packs.md, not from the Rust code. Beside Python 3.9 it needs the package `cryptography` alone.
Exit codes: 0 verified; 10 verified, but a newer checkpoint was given; 20 witnesses are missing; 30 failed; 40 unsupported.
"""

import argparse, base64, datetime, functools, hashlib, json, re, struct, sys, zlib  # noqa: E401

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

CODES = {"verified": 0, "verified_as_of": 10, "unwitnessed": 20, "failed": 30, "unsupported": 40}
CERTIFICATE, MANIFEST, KEYS, PLATFORM_LOG = (
    f"application/vnd.chancery.{name}.v1+json" for name in ("certificate", "manifest", "tenant-keys", "platform-log")
)
OPENS = {"active", "rotating", "inactive", "expired"}
STATES = OPENS | {"pending", "suspended", "revoked", "pending_deletion", "destroyed"}
ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
MEMBERS = {"v", "type", "instance", "tenant_id", "log_origin", "as_of", "scope", "certificates", "completeness", "files"}
MANIFESTS = ("MANIFEST.json", "MANIFEST.dsse")
PLATFORM = [f"platform/{name}" for name in ("checkpoint", "entries.jsonl", "keys.dsse", "proof.json")]
SCOPES, BECAME = ("certificates", "events", "range", "subject"), {"valid", "revoked", "superseded", "expired", "untrusted"}
FAULTS = (ValueError, KeyError, TypeError, IndexError, AttributeError, StopIteration, struct.error, RecursionError)
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
HOW = {"Ed25519": (), "ES256": (ec.ECDSA(hashes.SHA256()),), "PS256": (PSS, hashes.SHA256())}
P25519, OF_ORDER_8 = 2**255 - 19, 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
SMALL_ORDER = {0, 1, P25519 - 1, OF_ORDER_8, P25519 - OF_ORDER_8}


Stop = type("Stop", (Exception,), {"__doc__": "A check did not hold; the verdict."})


def need(held):
    if not held:
        raise ValueError


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def url64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def b64(text, url=False):
    """Padded base64, or base64url without padding, in its one spelling."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if url else base64.b64decode(text.encode("ascii"), validate=True)
    return raw if (url64(raw) if url else base64.b64encode(raw).decode()) == text else need(False)


def allowed(value, depth=32):
    """No floats, integers to 2^53 - 1, ASCII names, 32 levels."""
    if value is None or isinstance(value, (bool, str)):
        return True
    if isinstance(value, int):
        return abs(value) < 1 << 53
    if isinstance(value, float) or depth == 0 or (isinstance(value, dict) and not all(map(str.isascii, value))):
        return False
    return all(allowed(one, depth - 1) for one in (value.values() if isinstance(value, dict) else value))


def spelled(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")


def members(raw):
    """Reads an object in canonical JSON; every other spelling is refused."""
    value = json.loads(raw.decode("utf-8"))
    need(type(value) is dict and allowed(value) and spelled(value) == raw)
    return value


def is_a(it, name, version):  # to Python True is 1
    return it["type"] == name and type(it["v"]) is int and it["v"] == version


def unzip(archive):
    """The files of a canonical zip: rebuilt from them, it must give the same bytes."""
    count, at = struct.unpack("<10xHxxxxI2x", archive[-22:])
    files, expected = {}, 0
    for _ in range(count):
        size, length, offset = struct.unpack("<24xIH12xI", archive[at : at + 46])
        need(offset == expected)
        expected = offset + 30 + length + size
        files[archive[at + 46 : at + 46 + length].decode("ascii")] = archive[offset + 30 + length : expected]
        at += 46 + length
    out, central, offset = [], [], 0
    for name, data in sorted(files.items()):
        common = struct.pack("<H8xIIIHH", 20, zlib.crc32(data), len(data), len(data), len(name), 0)
        out += [b"PK\3\4", common, name.encode(), data]
        central += [b"PK\1\2", struct.pack("<H", 20), common, bytes(10), struct.pack("<I", offset), name.encode()]
        offset += 30 + len(name) + len(data)
    end = b"PK\5\6" + struct.pack("<4xHHIIH", len(files), len(files), sum(map(len, central)), offset, 0)
    need(b"".join([*out, *central, end]) == archive and all(map(stays_inside, files)))
    return files


def stays_inside(name):
    """Whether a name stays in the folder that an archive is unpacked into, on every system."""
    return re.fullmatch(r"[ -9;-\[\]-~]+", name) and not {"", ".", ".."} & {*name.split("/")}


def is_sound(point):
    """Whether an Ed25519 point is below the prime and none of the few with which anybody can sign: libraries differ in both."""
    y = int.from_bytes(point, "little") & (1 << 255) - 1
    return len(point) == 32 and y < P25519 and y not in SMALL_ORDER


class Key:
    """A public key by its JWK: Ed25519, ECDSA P-256 (r and s, 32 bytes each) or RSA-PSS, the latter two with SHA-256."""

    def __init__(self, jwk):
        need(not any(name in jwk for name in "dkpq"))
        kind, fields = (jwk["kty"], jwk.get("crv")), {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
        self.id = url64(sha256(spelled({name: jwk[name] for name in fields[jwk["kty"]]})))
        parts = {name: b64(jwk[name], url=True) for name in fields[jwk["kty"]] if name in "xyne"}
        numbers = {name: int.from_bytes(part, "big") for name, part in parts.items()}
        if kind == ("OKP", "Ed25519"):
            need(is_sound(parts["x"]))
            self.alg, self.raw, self.public = "Ed25519", parts["x"], ed25519.Ed25519PublicKey.from_public_bytes(parts["x"])
        elif kind == ("EC", "P-256"):
            need(len(parts["x"]) == len(parts["y"]) == 32)
            self.alg, self.public = "ES256", ec.EllipticCurvePublicNumbers(numbers["x"], numbers["y"], ec.SECP256R1()).public_key()
        else:
            need(jwk["kty"] == "RSA" and parts["n"][0] and parts["e"][0] and numbers["n"] & numbers["e"] & 1)
            need(2048 <= numbers["n"].bit_length() <= 8192 and 65_537 <= numbers["e"] < 1 << 33)
            self.alg, self.public = "PS256", rsa.RSAPublicNumbers(numbers["e"], numbers["n"]).public_key()

    def verifies(self, message, signature):
        try:
            if self.alg == "ES256":
                need(len(signature) == 64)
                signature = utils.encode_dss_signature(*(int.from_bytes(half, "big") for half in (signature[:32], signature[32:])))
            need(self.alg != "Ed25519" or is_sound(signature[:32]))
            self.public.verify(signature, message, *HOW[self.alg])
            return True
        except (InvalidSignature, ValueError):
            return False


class Declared(Key):
    """A tenant's key as the key statement tells of it."""

    def __init__(self, entry):
        super().__init__(entry["jwk"])
        self.state, self.activated = entry["state"], moment(entry["activated_at"])
        self.first, self.last, self.spared = entry["first_index"], entry["last_index"], entry.get("last_valid_index")
        need(all(one is None or (type(one) is int and one >= 0) for one in (self.first, self.last, self.spared)))
        need((entry["key_id"], entry["alg"]) == (self.id, self.alg) and self.state in STATES)
        need(entry["use"] != "log" or self.alg == "Ed25519")


class Envelope:
    """DSSE with exactly one signature, as canonical JSON."""

    def __init__(self, raw):
        it = members(raw)
        (one,) = it["signatures"]
        need(set(it) == {"payload", "payloadType", "signatures"} and set(one) == {"keyid", "sig"})
        self.type, self.payload, self.keyid, self.sig = it["payloadType"], b64(it["payload"]), one["keyid"], b64(one["sig"])

    def signed_by(self, key, payload_type):
        pae = f"DSSEv1 {len(self.type.encode())} {self.type} {len(self.payload)} ".encode() + self.payload
        return self.type == payload_type and self.keyid == key.id and key.verifies(pae, self.sig)


def moment(text):
    """Times have one form, so they compare as texts: of a day that there is in the years 0 to 9998."""
    need(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", text) and text < "9999")
    year, *rest = (int(text[at:end]) for at, end in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)))
    datetime.datetime(year or 4, *rest)  # Python begins with the year 1; like 4, 0 is a leap year
    return text


def bad_name(name):
    return not name or len(name.encode()) > 255 or re.search(r"[\s+\x00-\x1f\x7f-\x9f]", name)


def note_of(raw):
    """A C2SP checkpoint, signed by whomever: its text, what it says, and its lines of signature."""
    text = raw.decode("utf-8")
    body, lines = text.rsplit("\n\n", 1)
    (said, size, root), lines = body.split("\n"), lines.split("\n")
    need(not any(letter < " " and letter != "\n" for letter in text) and re.fullmatch("0|[1-9][0-9]{0,15}", size) and int(size) < 1 << 53)
    need(not bad_name(said) and lines.pop() == "" and 1 <= len(lines) <= 64)
    size, root, signed = int(size), b64(root), []
    for line in lines:
        mark, name, blob = line.split(" ")
        blob = b64(blob)
        need(mark == "\u2014" and not bad_name(name) and len(blob) > 4)
        signed.append((name, blob[:4], blob[4:]))
    return need(len(root) == 32) or ((body + "\n").encode(), said, size, root, signed)


def short_id(origin, key):
    return sha256(origin.encode(), b"\n\x01", key.raw)[:4]


def is_name_of(name, origin):
    """Whether heads of this log bear the name: its origin, and after a restore ORIGIN/e2 and so on."""
    return name == origin or re.fullmatch(re.escape(origin) + "/e([2-9]|[1-9][0-9]{1,15})", name) and int(name.rpartition("e")[2]) < 1 << 53


def read_witness(text):
    """A witness by its C2SP vkey: its name, the id and the key of its cosignatures."""
    name, short, key = text.split("+", 2)
    raw, id_ = b64(key), sha256(name.encode(), b"\n", b64(key))[:4]
    need(not bad_name(name) and len(raw) == 33 and raw[0] == 4 and short == id_.hex())
    return name, id_, Key({"crv": "Ed25519", "kty": "OKP", "x": url64(raw[1:])})


def cosigned(witness, body, signed):
    """The earliest time, in seconds, at which a witness says that it saw a head; nothing unless all of its lines verify."""
    (name, id_, key), times = witness, []
    try:
        for line in (line for by, short, line in signed if (by, short) == (name, id_)):
            times.append(int.from_bytes(line[:8], "big"))
            need(times[-1] < 1 << 63 and key.verifies(b"cosignature/v1\ntime %d\n" % times[-1] + body, line[8:]))
        return min(times) if min(times) < 253_370_764_800 else None  # moments are of the years 0 to 9998
    except FAULTS:
        return None


def head_of(raw, origin, log_keys):
    """A checkpoint of this log, signed by the log key whose activation is the last in it: size and root."""
    body, said, size, root, signed = note_of(raw)
    key = next((key for key in reversed(log_keys) if key.first is not None and key.first < size), log_keys[0])
    ours = [one for name, short, one in signed if (name, short) == (said, short_id(said, key))]
    need(is_name_of(said, origin) and ours and key.state in OPENS and all(key.verifies(body, one) for one in ours))
    return size, root


def is_by_a_later_key(raw, origin, log_keys, size):
    """Whether a checkpoint says that it is a later one of this log, by none of the log keys that the pack knows."""
    try:
        _, said, later, _, signed = note_of(raw)
    except FAULTS:
        return False
    by = {short for name, short, _ in signed if name == said}
    return is_name_of(said, origin) and later > size and bool(by) and not by & {short_id(said, key) for key in log_keys}


def whole_tree(size, runs, entries, given):
    """The RFC 6962 root over `size` leaves: of `runs` the entries are hashed, between them the largest subtrees are given."""
    stack, given, entries, at = [], iter(given), iter(entries), 0

    def push(level, node):
        while stack and stack[-1][0] == level:
            node, level = sha256(b"\1", stack.pop()[1], node), level + 1
        stack.append((level, node))

    for start, end in [*runs, (size, size)]:
        need(at <= start <= end <= size)
        while at < start:
            level = min((start - at).bit_length() - 1, (at & -at).bit_length() - 1 if at else 64)
            push(level, bytes.fromhex(next(given)))
            at += 1 << level
        for _ in range(end - start):
            push(0, sha256(b"\0", next(entries)))
        at = end
    need(next(given, None) is None and next(entries, None) is None)
    return functools.reduce(lambda node, left: sha256(b"\1", left, node), [node for _, node in reversed(stack)])


def gaps(events):
    """Where the completeness counters of a node's start leave a number out."""
    seen, found = {}, []
    for node in (event["node"] for event in events):
        need(type(node["id"]) is str and type(node["boot"]) is str and type(node["ctr"]) is int and node["ctr"] >= 0)
        seen.setdefault((node["id"], node["boot"]), []).append(node["ctr"])
    for (node, boot), numbers in sorted(seen.items()):
        numbers.sort()
        found += [{"node": node, "boot": boot, "after": a, "before": b} for a, b in zip(numbers, numbers[1:]) if b > a + 1]
    return {"nodes": len(seen), "gaps": found}


def read_trust(raw):
    """The instance, the keys that may sign a key statement, and the witnesses: their quorum, they, the log that they watch."""
    it, keys = members(raw.rstrip(b"\t\n\x0c\r ")), []
    need(is_a(it, "chancery-trust/v1", 1) and type(it["instance"]) is str and type(it["keys"]) is list)
    asked = it["witnesses"]
    need(type(asked["quorum"]) is int and asked["quorum"] >= 0 and type(asked["keys"]) is list and type(asked.get("log_origin", "")) is str)
    witnesses = [read_witness(one) for one in asked["keys"]]
    need(len({name for name, *_ in witnesses}) == len(witnesses))
    for entry in it["keys"]:
        key = Key(entry["jwk"])
        need((entry["key_id"], entry["alg"]) == (key.id, key.alg) and type(entry["state"]) is str)
        keys += [key] if entry["state"] in OPENS else []
    return it["instance"], keys, (asked["quorum"], witnesses, asked.get("log_origin"))


def read_files(manifest, files):
    """Whether exactly the files that the manifest lists are there."""
    found = {path: (hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items() if path not in MANIFESTS}
    listed = [(one["path"], (one["sha256"], one["size"])) for one in manifest["files"]]
    types = {"path": str, "role": str, "sha256": str, "size": int}
    need(type(manifest["files"]) is list)
    need(all(type(one) is dict and {name: type(value) for name, value in one.items()} == types for one in manifest["files"]))
    return listed == sorted(found.items())


def read_proof(raw):
    it = members(raw)
    need(set(it) == {"v", "runs", "hashes"} and spelled(it["v"]) == b"1" and type(it["runs"]) is type(it["hashes"]) is list)
    need(all(re.fullmatch("[0-9a-f]{64}", one) for one in it["hashes"]))
    need(all(type(run) is list and len(run) == 2 and {*map(type, run)} == {int} and 0 <= run[0] < run[1] for run in it["runs"]))
    return it["runs"], it["hashes"]


def read_anchor(files):
    """The event of the platform's log and what proves it, each in its form."""
    note, entries, keys, proof = (files[path] for path in PLATFORM)
    runs, given = read_proof(proof)
    need(len(runs) == 1 and runs[0][1] - runs[0][0] == 1 and entries.endswith(b"\n") and entries.count(b"\n") == 1)
    return Envelope(keys), entries[:-1], members(entries[:-1]), runs, given, note


def disclosed(shown, lines):
    """How many texts are shown, each of which must be what the leaf of its event commits to."""
    events, texts = 0, 0
    for event in map(members, lines):
        id_ = event.get("event_id")
        if type(id_) is not str or f"{id_}.json" not in shown:
            continue
        events += 1
        for name, text in members(shown[f"{id_}.json"]).items():
            need(set(text) == {"salt", "value"} and re.fullmatch("[0-9a-f]{64}", text["salt"]))
            framed = len(name.encode()).to_bytes(4, "big") + name.encode() + text["value"].encode()
            need(event["sealed"][name] == hashlib.sha256(b"\x02" + bytes.fromhex(text["salt"]) + framed).hexdigest())
            texts += 1
    return events == len(shown) and (texts,)


def read_payload(raw):
    it = members(raw)
    for name in ("issued_at", "occurred_at", "attested_at", "not_after"):
        moment(it.get(name, it["issued_at"]))
    need(is_a(it, "clinical-certificate/v1", 1) and type(it["issuer"]["key_id"]) is str and type(it["log_origin"]) is str)
    need(re.fullmatch(f"crt_{ULID}", it["cert_id"]) and re.fullmatch(f"ten_{ULID}", it["tenant_id"]))
    return it


class Pack:
    def __init__(self):
        self.checks, self.certificates, self.tenant, self.as_of = [], [], None, None

    def check(self, name, work, good="", bad="", verdict="failed"):
        """Runs a check. Whatever goes wrong in it means that it does not hold."""
        try:
            value = work()
        except FAULTS:
            value = False
        held = value is not False and value is not None
        self.checks.append({"name": name, "ok": held, "detail": (good(value) if callable(good) else good) if held else bad})
        if not held:
            raise Stop(verdict)
        return value

    def verify(self, archive, trust, newer):
        check, never = self.check, "unsupported"
        instance, trusted, (quorum, witnesses, watched) = check("trust", lambda: read_trust(trust), lambda it: it[0], "not a known trust file", never)
        files = check("archive", lambda: unzip(archive), "canonical zip", "not a canonical zip: bytes were added, lost or changed")
        manifest = check("manifest", lambda: members(files["MANIFEST.json"]), "canonical JSON", "missing or not canonical JSON")
        known = lambda: is_a(manifest, "audit-pack/v2", 2) and set(manifest) <= MEMBERS
        check("manifest_version", known, "audit-pack/v2", "unknown kind, version or member", never)
        check("files", lambda: read_files(manifest, files), f"{len(files) - 2} files with their SHA-256", "files and manifest differ")

        envelope = check("keys", lambda: Envelope(files["trust/keys.dsse"]), "DSSE v1, canonical", "not a canonical DSSE envelope")
        signed = lambda: any(envelope.signed_by(key, KEYS) for key in trusted)
        check("keys_signature", signed, "signed by a key of the trust file", "no key of the trust file signed the key statement")
        keys = check("keys_form", lambda: members(envelope.payload), "canonical JSON", "not canonical JSON")
        check("keys_version", lambda: is_a(keys, "tenant-keys/v1", 1), "tenant-keys/v1", "unknown kind or version", never)
        one = lambda: all(type(keys[name]) is str and keys[name] == manifest[name] for name in ("tenant_id", "log_origin", "instance"))
        whose = lambda _: f"tenant {keys['tenant_id']}, log {keys['log_origin']}"
        check("scope", one, whose, "manifest and keys speak of different tenants")
        self.tenant = keys["tenant_id"]
        check("instance", lambda: keys["instance"] == instance, instance, "the pack is of another instance than the trust file")
        of = lambda use: [Declared(entry) for entry in keys["keys"] if entry.get("use") == use]
        both = lambda: type(keys["keys"]) is list and (of("certificate"), of("log"))
        signers, loggers = check("key_list", both, "well-formed", "a key of the statement is malformed")
        by = lambda it: it.payload == files["MANIFEST.json"] and any(it.signed_by(key, MANIFEST) for key in signers if key.state in OPENS)
        signed = lambda: by(Envelope(files["MANIFEST.dsse"]))
        check("manifest_signature", signed, "signed by the tenant", "the manifest is not signed by the tenant")
        head = lambda note: head_of(note, manifest["log_origin"], loggers)
        size, root = self.head = check("checkpoint", lambda: head(files["log/checkpoint"]), "signed by the log key", "not signed by the log key")
        exact = lambda one: type(one) is int and one == size
        same = lambda: exact(manifest["as_of"]["size"]) and manifest["as_of"]["root"] == root.hex() and moment(manifest["as_of"]["signed_at"])
        at = check("as_of", same, lambda at: f"{size} events, signed {at}", "manifest and checkpoint name different heads")
        self.as_of = {"size": size, "root": root.hex(), "signed_at": at}
        check("keys_as_of", lambda: exact(keys["as_of_size"]), "stated at the checkpoint", "the keys were stated at another size of the log")
        self.content(manifest, files, signers)
        signed = self.anchor(files, instance, trusted, watched)
        if quorum > 0:
            times = sorted(time for time in (cosigned(one, *signed) for one in witnesses if signed) if time is not None)
            counted = f"{len(times)} of {quorum} cosignatures"
            at = lambda time: f"{counted}; as many at {datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=time)} UTC"
            check("witnesses", lambda: times[quorum - 1], at, counted, "unwitnessed")
        if newer is None:
            return "verified"
        bad, verdict = "the given checkpoint is not of this log", "failed"
        if is_by_a_later_key(newer, manifest["log_origin"], loggers, size):  # or by a stranger: the pack cannot tell
            bad, verdict = "signed by a log key that this pack does not know: get a newer pack", never
        new, new_root = check("newer_checkpoint", lambda: head(newer), "of the same log", bad, verdict)
        check("newer_head", lambda: new != size or new_root == root, f"{new} events", "two heads of one size differ: the log was forked")
        check("not_older", lambda: new >= size, "not before the pack's", "it is older than the pack")
        return "verified_as_of" if new > size else "verified"

    def anchor(self, files, instance, trusted, watched):
        """That the platform's log tells of this head; gives what was signed of that log's head. Nothing for a pack without an anchor."""
        if not any(path in files for path in PLATFORM):
            return None
        check, (size, root) = self.check, self.head
        parts = check("anchor", lambda: read_anchor(files), "an event of the platform's log", "a file of it is missing or malformed")
        envelope, line, event, runs, given, note = parts
        signed = lambda: any(envelope.signed_by(key, PLATFORM_LOG) for key in trusted)
        check("anchor_signature", signed, "signed by a key of the trust file", "no key of the trust file signed the statement of the platform's log")
        it = check("anchor_form", lambda: members(envelope.payload), "canonical JSON", "not canonical JSON")
        check("anchor_version", lambda: is_a(it, "platform-log/v1", 1), "platform-log/v1", "unknown kind or version", "unsupported")
        ours = lambda: it["instance"] == instance and type(it["log_origin"]) is str and watched in (None, it["log_origin"])
        keys = lambda: type(it["keys"]) is list and [Declared(entry) for entry in it["keys"] if entry.get("use") == "log"]
        loggers = check("anchor_keys", lambda: ours() and keys(), lambda _: it["log_origin"], "of another instance or log, or malformed")
        exact = lambda found, wanted: type(found) is int and found == wanted
        top = lambda it_: it_ if exact(it["as_of_size"], it_[0]) else None
        bad = "not signed by the platform's log key"
        upper, upper_root = check("anchor_checkpoint", lambda: top(head_of(note, it["log_origin"], loggers)), "signed by the platform's log key", bad)
        name = note_of(files["log/checkpoint"])[1]
        what = lambda: (event["type"], event["resource"]["kind"], event["resource"]["id"], event["detail"]["root"])
        told = lambda: what() == ("log.head_noted", "log", name, root.hex()) and exact(event["detail"]["size"], size)
        check("anchor_event", told, f"event {runs[0][0]} of the platform's log", "the platform's log tells of another head")
        whole = lambda: whole_tree(upper, runs, [line], given) == upper_root
        check("anchor_inclusion", whole, f"under a head of {upper} events", "the event is not under the platform's checkpoint")
        body, _, _, _, signed = note_of(note)
        return body, signed

    def content(self, manifest, files, signers):
        """Any number of events under one proof, certificates among them, and what became of these."""
        check, (size, root) = self.check, self.head
        kind = lambda: next(kind for kind in SCOPES if type(manifest["scope"]) is dict and list(manifest["scope"]) == [kind])
        kind = check("scope_kind", kind, str, "a scope of an unknown kind", "unsupported")
        raw = files.get("log/entries.jsonl", b"")
        split = lambda: raw.endswith(b"\n") and raw[:-1].split(b"\n")
        lines = check("entries", split, lambda it: f"{len(it)} events", "the events are missing or not lines")
        runs, given = check("proof", lambda: read_proof(files["log/proof.json"]), lambda it: f"{len(it[1])} hashes", "missing or malformed")
        whole = lambda: whole_tree(size, runs, lines, given) == root
        check("inclusion", whole, f"{len(lines)} of {size} events", "the events are not under the checkpoint")
        # Of events that tell of no certificate the counter alone is kept: there may be a hundred thousand.
        tells = lambda it: type(it.get("type")) is str and it["type"].startswith("certificate.")
        brief = lambda it: it if tells(it) else {"node": it.get("node")}
        events = check("events", lambda: [brief(members(line)) for line in lines], "canonical JSON", "not canonical JSON")
        events = list(zip((index for run in runs for index in range(*run)), events))
        if kind == "range":
            span = lambda it: moment(it["from"]) < moment(it["to"]) and next((it["indexes"] for run in runs if inside(run, *it["indexes"])), None)
            inside = lambda run, start, end: type(start) is type(end) is int and run[0] <= start < end <= run[1]
            its = manifest["scope"][kind]
            told = lambda at: f"recorded from {its['from']} to {its['to']}: indexes {at[0]} to {at[1] - 1}"
            start, end = check("range", lambda: span(its), told, "not every event of its range is here")
            found = lambda: gaps(event for index, event in events if start <= index < end)
            same = lambda: spelled(it := found()) == spelled(manifest["completeness"]) and it
            told = lambda it: f"{len(it['gaps'])} gaps across {it['nodes']} nodes"
            check("completeness", same, told, "the counters of the events and the manifest differ")
        if kind == "events":
            ids = lambda: [members(line)["event_id"] for line in lines]
            each = lambda ids: all(re.fullmatch(f"evt_{ULID}", one) for one in ids) and sorted({*ids})
            named = lambda: each(ids()) == manifest["scope"][kind] and len(manifest["scope"][kind]) == len(lines)
            check("named_events", named, f"{len(lines)} named", "not exactly the events that it is about")
        shown = {path[12:]: data for path, data in files.items() if path.startswith("disclosures/")}
        if shown:
            told = lambda it: f"{it[0]} texts of {len(shown)} events"
            check("disclosures", lambda: disclosed(shown, lines), told, "a text is not what its event commits to")
        told = {}
        for index, event in events:
            if tells(event) and type(event.get("resource")) is dict and type(event["resource"].get("id")) is str:
                told.setdefault((event["type"], event["resource"]["id"]), (index, event))
        same = lambda it: kind != "certificates" or (bool(it) and manifest["scope"][kind] == list(it))
        in_order = lambda it: set(it.values()) <= BECAME and same(it) and it
        said = check("certificate_list", lambda: in_order(manifest["certificates"]), lambda it: f"{len(it)} named", "not in order")
        for id_ in said:
            state, detail = self.certificate(id_, manifest, files.get(f"certs/{id_}.dsse.json", b""), signers, told)
            held = said[id_] == state and (state == "valid" or kind != "certificates")
            check("certificate", lambda: held, f"{id_}: {state}; {detail}", f"{id_}: {state}; {detail}; said to be {said[id_]}")
            self.certificates += [id_] if state == "valid" else []

    def certificate(self, id_, manifest, raw, signers, told):
        """The state of a certificate. What does not hold at all stops here."""
        check = lambda name, work, bad: self.check(name, work, "", f"{id_}: {bad}")
        before, envelope = len(self.checks), check("envelope", lambda: Envelope(raw), "not a canonical DSSE envelope")
        check("payload_type", lambda: envelope.type == CERTIFICATE, "another payload type")
        key = check("key", lambda: next(key for key in signers if key.id == envelope.keyid), "not one of the tenant's certificate keys")
        check("signature", lambda: envelope.signed_by(key, CERTIFICATE), "the signature does not verify")
        it = check("payload", lambda: read_payload(envelope.payload), "not a certificate of a known version")
        check("key_id", lambda: it["issuer"]["key_id"] == key.id, "payload and envelope differ")
        attested = it.get("attested_at", it["issued_at"])
        times = lambda: it.get("occurred_at", attested) <= attested <= it["issued_at"] and key.activated <= it["issued_at"]
        ends = lambda: "not_after" not in it or it["issued_at"] < it["not_after"]
        check("times", lambda: times() and ends(), "the times are not in order")
        same = lambda: (it["cert_id"], it["tenant_id"], it["log_origin"]) == (id_, manifest["tenant_id"], manifest["log_origin"])
        check("identity", same, "the certificate is of another tenant, log or name")
        index, event = check("logged", lambda: told[("certificate.issued", id_)], "its event is not in the pack")
        said = lambda: (event["tenant_id"], event["detail"]["envelope_sha256"], event["detail"]["key_id"])
        meant = (manifest["tenant_id"], hashlib.sha256(raw).hexdigest(), key.id)
        check("event", lambda: said() == meant, "the log tells of another certificate")
        del self.checks[before:]
        if key.state in ("suspended", "pending_deletion") or (key.state == "revoked" and key.spared is None):
            return "untrusted", f"the key is {key.state}"
        if key.first is None or key.first >= index or (key.last is not None and index >= key.last):
            return "untrusted", "outside the key's time in the log"
        if key.state == "revoked" and index > key.spared:
            return "untrusted", "logged after what its key's revocation spares"
        for state in ("revoked", "superseded"):
            if (f"certificate.{state}", id_) in told:
                return state, f"event {told[(f'certificate.{state}', id_)][0]}"
        if "not_after" in it and it["not_after"] < manifest["as_of"]["signed_at"]:
            return "expired", f"it ended at {it['not_after']}"
        return "valid", f"event {index}, {key.alg} {key.id}, issued {it['issued_at']}"


def verify(archive, trust, newer=None):
    pack = Pack()
    try:
        verdict = pack.verify(archive, trust, newer)
    except Stop as stop:
        verdict = str(stop)
    report = {"verdict": verdict, "exit_code": CODES[verdict], "tenant_id": pack.tenant, "as_of": pack.as_of}
    return {**report, "certificates": pack.certificates, "checks": pack.checks}


def printable(text):
    """Text of somebody else for a terminal: what moves its cursor or turns its letters around is spelled out."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def main():
    for stream in (sys.stdout, sys.stderr):  # whatever the locale would write: files and pipes of Windows have no such letters
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack")
    parser.add_argument("--trust", required=True, metavar="FILE", help="the trust file, kept since you first trusted the instance")
    parser.add_argument("--checkpoint", metavar="FILE", help="a newer checkpoint of the same log")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options, read = parser.parse_args(), lambda path: open(path, "rb").read() if path else None
    try:
        report = verify(read(options.pack), read(options.trust), read(options.checkpoint))
    except OSError as error:
        print(f"verify_pack: {error}", file=sys.stderr)
        return 40
    lines = ["{} {name:18} {detail}".format("✓" if one["ok"] else "✗", **one) for one in report["checks"]]
    lines += [f"{report['verdict']}: {', '.join(report['certificates'])}".rstrip(": ")]
    print(json.dumps(report, indent=2) if options.json else "\n".join(map(printable, lines)))
    return report["exit_code"]


if __name__ == "__main__":
    sys.exit(main())
