#!/usr/bin/env python3
"""Makes testdata/packs: good and broken packs, and what every verifier must say to each. The same bytes at every run.

Written from docs/adr/0024-packs.md and not from the Rust code. `cargo xtask verifiers` checks that the folder is current.
"""

import base64
import datetime
import hashlib
import json
import pathlib
import struct
import sys
import zlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

INSTANCE, TENANT, OTHER = "chancery.example", "ten_01JD5V7N8Q0000000000000001", "ten_01JD5V7N8Q0000000000000002"
ORIGIN = "chancery.example/t/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
TYPES = {name: f"application/vnd.chancery.{name}.v1+json" for name in ("certificate", "manifest", "tenant-keys", "platform-log")}
PLATFORM_ORIGIN, SEEN = "chancery.example/t/00000000000000000000000000000000", 1_767_232_800
SCOPES = ("certificates", "events", "range", "subject")
P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def canonical(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def b64(raw):
    return base64.b64encode(raw).decode()


def url64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def time(seconds):
    return (datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=seconds)).isoformat(timespec="microseconds") + "Z"


def ulid(number):
    return "01JD5V7N8Q" + "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(number >> shift) & 31] for shift in range(75, -1, -5))


class Ed25519:
    alg = "Ed25519"

    def __init__(self, seed):
        self.private = ed25519.Ed25519PrivateKey.from_private_bytes(sha256(seed.encode()))
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.raw = self.private.public_key().public_bytes(*raw)
        self.jwk = {"crv": "Ed25519", "kty": "OKP", "x": url64(self.raw)}
        self.id = url64(sha256(canonical(self.jwk)))

    def sign(self, message):
        return self.private.sign(message)


class Neutral(Ed25519):
    """Signs with the neutral point, which no honest signer draws and not every library refuses."""

    def sign(self, message):
        order, digest = 2**252 + 27742317777372353535851937790883648493, hashlib.sha512(self.private.private_bytes_raw()).digest()
        scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
        point = b"\1" + bytes(31)
        challenge = int.from_bytes(hashlib.sha512(point + self.raw + message).digest(), "little")
        return point + (challenge * scalar % order).to_bytes(32, "little")


class P256Key(Ed25519):
    alg = "ES256"

    def __init__(self, seed):
        self.private = ec.derive_private_key(int.from_bytes(sha256(seed.encode()), "big") % (P256 - 1) + 1, ec.SECP256R1())
        numbers = self.private.public_key().public_numbers()
        x, y = (url64(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        self.jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        self.id = url64(sha256(canonical(self.jwk)))

    def sign(self, message):
        # RFC 6979: no randomness.
        der = self.private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return b"".join(number.to_bytes(32, "big") for number in utils.decode_dss_signature(der))


class RsaKey(Ed25519):
    """RSA-PSS with a salt that the message gives, for the same bytes at every run. Not for anything but test data."""

    alg = "PS256"

    def __init__(self, seed):
        p, q = (self.prime(f"{seed} {name}") for name in "pq")
        self.n, self.d = p * q, pow(65537, -1, (p - 1) * (q - 1))
        self.jwk = {"e": "AQAB", "kty": "RSA", "n": url64(self.n.to_bytes(256, "big"))}
        self.id = url64(sha256(canonical(self.jwk)))

    @staticmethod
    def prime(seed):
        number = int.from_bytes(b"".join(sha256(seed.encode(), bytes([part])) for part in range(4)), "big") | 3 << 1022 | 1
        small = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]
        while any(number % one == 0 for one in small) or any(pow(base_, number - 1, number) != 1 for base_ in (2, 3, 5, 7)):
            number += 2
        return number

    def sign(self, message):
        salt = sha256(b"salt", message)
        digest = sha256(bytes(8), sha256(message), salt)
        block = bytes(256 - 32 - 1 - 32 - 1) + b"\1" + salt
        mask = b"".join(sha256(digest, struct.pack(">I", part)) for part in range(7))[: len(block)]
        masked = bytes(a ^ b for a, b in zip(block, mask))
        masked = bytes([masked[0] & 0x7F]) + masked[1:]
        number = int.from_bytes(masked + digest + b"\xbc", "big")
        return pow(number, self.d, self.n).to_bytes(256, "big")


def dsse(kind, payload, key, **changed):
    pae = f"DSSEv1 {len(TYPES[kind])} {TYPES[kind]} {len(payload)} ".encode() + payload
    one = {"keyid": changed.get("keyid", key.id), "sig": b64(key.sign(pae))}
    return canonical({"payload": b64(payload), "payloadType": TYPES[kind], "signatures": [one] * changed.get("times", 1)})


def zipped(files, names=None, tail=b"", stored=True):
    out, central, offset = [], [], 0
    for name in names or sorted(files):
        data = files[name]
        common = struct.pack("<HHHIIIIHH", 20, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0)
        if not stored:
            packed = zlib.compress(data)[2:-4]
            common, data = struct.pack("<HHHIIIIHH", 20, 0, 8, 0, zlib.crc32(data), len(packed), len(data), len(name), 0), packed
        out += [b"PK\3\4" + common + name.encode() + data]
        central += [b"PK\1\2" + struct.pack("<H", 20) + common + bytes(10) + struct.pack("<I", offset) + name.encode()]
        offset += len(out[-1])
    central = b"".join(central)
    end = struct.pack("<4s4xHHIIH", b"PK\5\6", len(out), len(out), len(central), offset, len(tail))
    return b"".join(out) + central + end + tail


def tree(leaves):
    """The root by the definition of RFC 6962, 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1", tree(leaves[:half]), tree(leaves[half:]))


def cover(start, end):
    """The largest subtrees that fill a gap."""
    while start < end:
        size = 1 << (end - start).bit_length() - 1
        size = min(size, start & -start) if start else size
        yield start, start + size
        start += size


class Witness(Ed25519):
    """Signs heads of a log that it saw grow (C2SP tlog-cosignature)."""

    def __init__(self, name, seed=None):
        super().__init__(seed or name)
        self.name, self.short = name, sha256(name.encode(), b"\n\4", self.raw)[:4]
        self.vkey = f"{name}+{self.short.hex()}+{b64(bytes([4]) + self.raw)}"

    def line(self, body, at=SEEN, of=None):
        signature = self.sign(b"cosignature/v1\ntime %d\n" % at + (of or body))
        return f"\u2014 {self.name} {b64(self.short + at.to_bytes(8, 'big') + signature)}\n".encode()


class Platform:
    """The platform's log, which tells of heads, and who witnesses it."""

    def __init__(self, trust):
        self.trust, self.log, self.others = trust, Ed25519("platform log"), 12
        self.witnesses = [Witness(f"witness.example/w{number}") for number in (1, 2, 3)]
        entry = {"key_id": self.log.id, "use": "log", "alg": "Ed25519", "jwk": self.log.jwk, "state": "active", "activated_at": time(0)}
        self.entry = {**entry, "first_index": 2, "last_index": None}

    def anchor(self, size, root, signed=2, **edit):
        """The files that prove that the platform's log tells of a head, with the lines of so many witnesses."""
        event = {
            "v": 1, "type": "log.head_noted", "resource": {"kind": "log", "id": edit.get("name", ORIGIN)},
            "detail": {"nonce": sha256(b"nonce").hex(), "root": root.hex(), "size": size}, **edit.get("event", {}),
        }
        line = edit.get("line") or canonical(edit.get("of_event", lambda it: it)(event))
        leaves = [sha256(b"\0", b"%d" % number) for number in range(self.others)]
        at = 7
        leaves.insert(at, sha256(b"\0", line))
        gaps = [tree(leaves[a:b]).hex() for a, b in [*cover(0, at), *cover(at + 1, len(leaves))]]
        proof = {"v": 1, "runs": [[at, at + 1]], "hashes": gaps, **edit.get("proof", {})}
        origin, key = edit.get("origin", PLATFORM_ORIGIN), edit.get("key", self.log)
        body = f"{origin}\n{len(leaves)}\n{b64(edit.get('top') or tree(leaves))}\n".encode()
        blob = sha256(origin.encode(), b"\n\1", key.raw)[:4] + key.sign(body)
        note = body + f"\n\u2014 {origin} {b64(blob)}\n".encode()
        note += b"".join(one.line(body) for one in self.witnesses[:signed]) + b"".join(one(body) for one in edit.get("lines", []))
        statement = {
            "v": 1, "type": "platform-log/v1", "instance": INSTANCE, "log_origin": PLATFORM_ORIGIN, "as_of_size": len(leaves),
            "keys": [self.entry], **edit.get("statement", {}),
        }
        statement = edit.get("of_statement", lambda it: it)(statement)
        signed = dsse(edit.get("kind", "platform-log"), canonical(statement), edit.get("by", self.trust))
        return {
            "platform/checkpoint": note, "platform/entries.jsonl": line + edit.get("end", b"\n"), "platform/keys.dsse": signed,
            "platform/proof.json": canonical(proof),
        }


class World:
    """A tenant's log, its keys and certificates."""

    def __init__(self, key=Ed25519, first_key_state="active", spared=None):
        self.platform, self.log = Ed25519("platform trust"), Ed25519("log")
        self.events, self.envelopes, self.made = [], {}, []
        self.keys = []
        self.counter = 0
        self.activate(self.log, "log")
        self.signer = key("certificate 1")
        self.activate(self.signer, "certificate", state=first_key_state, spared=spared)
        self.above = Platform(self.platform)

    def event(self, kind, resource=None, detail=None, **more):
        number = len(self.events)
        self.counter += more.pop("skip", 0)
        event = {
            "v": 1, "event_id": f"evt_{ulid(number)}", "tenant_id": TENANT, "request_id": f"req_{ulid(number)}", "type": kind,
            "action": "C", "phase": "single", "outcome": 0, "occurred_at": time(60 * number), "recorded_at": time(60 * number),
            "node": {"id": "nod_01JD5V7N8Q0000000000000009", "boot": "01JD5V7N8Q000000000000000B", "ctr": self.counter}, "route": "/v1/records/open",
            "method": "POST", "actor": {"kind": "system"}, "net": {"class": "none"}, "retention_class": "standard",
        }
        self.counter += 1
        if resource:
            event["resource"] = {"kind": resource[0], "id": resource[1]}
        if detail:
            event["detail"] = detail
        self.events.append({**event, **more})
        return number

    def others(self, count):
        for _ in range(count):
            self.event("record.opened", detail={"count": 1})

    def activate(self, key, use, **more):
        index = self.event("key.activated", ("key", f"key_{ulid(len(self.keys))}"), {"key_id": key.id, "use": use})
        entry = {"key_id": key.id, "use": use, "alg": key.alg, "jwk": key.jwk, "state": more.get("state", "active")}
        entry.update(activated_at=time(60 * index), first_index=index, last_index=None)
        if more.get("spared") is not None:
            entry["last_valid_index"] = more["spared"]
        self.keys.append(entry)

    def rotate(self, key, use="certificate"):
        old = next(entry for entry in reversed(self.keys) if entry["use"] == use)
        old.update(state="rotating", last_index=self.event("key.retired", ("key", "key_x"), {"key_id": old["key_id"]}))
        self.activate(key, use)
        if use == "certificate":
            self.signer = key

    def issue(self, changed=None, told=None, **signing):
        """A certificate; `changed` goes into its payload, `told` into its event."""
        id_ = f"crt_{ulid(1000 + len(self.envelopes))}"
        at = time(60 * len(self.events))
        payload = {
            "v": 1, "type": "clinical-certificate/v1", "cert_id": id_, "tenant_id": TENANT, "log_origin": ORIGIN,
            "issuer": {"name": INSTANCE, "key_id": self.signer.id, "alg": self.signer.alg}, "kind": "app.visit-closed",
            "subject": {"kind": "patient", "commitment": sha256(b"subject").hex()},
            "statement": {"code": "app.closed", "params": {"fields": 7}}, "evidence": [], "issued_at": at,
            "producer": {"name": "chancery", "version": "0.0.0"}, **(changed or {}),
        }
        payload = signing.pop("of_payload", lambda it: it)(payload)
        key = signing.pop("key", self.signer)
        self.envelopes[id_] = dsse("certificate", canonical(payload), key, **signing)
        detail = {"key_id": self.signer.id, "envelope_sha256": hashlib.sha256(self.envelopes[id_]).hexdigest(), **(told or {})}
        self.made.append((id_, self.event("certificate.issued", ("certificate", id_), detail)))
        return id_

    def revoke(self, id_):
        return self.event("certificate.revoked", ("certificate", id_), {"reason": "error"})

    def note(self, size=None, root=None, key=None, origin=ORIGIN):
        size = size or len(self.events)
        root = root or tree(self.leaves()[:size])
        body = f"{origin}\n{size}\n{b64(root)}\n"
        key = key or self.log
        blob = sha256(origin.encode(), b"\n\1", key.raw)[:4] + key.sign(body.encode())
        return f"{body}\n\u2014 {origin} {b64(blob)}\n".encode()

    def leaves(self):
        return [sha256(b"\0", canonical(event)) for event in self.events]

    def anchor(self, signed=2, **edit):
        """The platform's word for the head of now."""
        return self.above.anchor(len(self.events), tree(self.leaves()), signed, **edit)

    def trust(self, quorum=0, **more):
        key = {"key_id": self.platform.id, "alg": "Ed25519", "jwk": self.platform.jwk, "state": "active", "activated_at": time(0)}
        file = {"v": 1, "type": "chancery-trust/v1", "instance": INSTANCE, "keys": [key]}
        asked = {"quorum": quorum, "keys": [one.vkey for one in self.above.witnesses], "log_origin": PLATFORM_ORIGIN}
        file["witnesses"] = {**asked, **more.pop("witnesses", {})}
        return canonical({**file, **more})

    def pack(self, scope, states, runs, **edit):
        """A pack. What is in `edit` is changed before the rest is signed or listed, so that nothing else is wrong."""
        leaves, lines = self.leaves(), [canonical(event) for event in self.events]
        edges, gaps = [0, *(edge for run in runs for edge in run), len(leaves)], []
        for start, end in zip(edges[::2], edges[1::2]):
            gaps += [tree(leaves[a:b]).hex() for a, b in cover(start, end)]
        proof = edit.get("of_proof", lambda it: it)({"v": 1, "runs": runs, "hashes": gaps, **edit.get("proof", {})})
        statement = {
            "v": 1, "type": "tenant-keys/v1", "instance": INSTANCE, "tenant_id": TENANT, "log_origin": ORIGIN,
            "as_of_size": len(leaves), "keys": self.keys, **edit.get("statement", {}),
        }
        statement = edit.get("of_statement", lambda it: it)(statement)
        files = {f"certs/{id_}.dsse.json": self.envelopes[id_] for id_ in states}
        files["README.txt"] = b"Check it with: chancery verify PACK --trust FILE\n"
        files["log/checkpoint"] = edit.get("note") or self.note()
        files["log/entries.jsonl"] = b"".join(line + b"\n" for start, end in runs for line in lines[start:end])
        files["log/proof.json"] = canonical(proof)
        files["report.html"] = b"<!doctype html><title>A pack</title>\n"
        files["trust/keys.dsse"] = dsse("tenant-keys", canonical(statement), edit.get("platform", self.platform))
        files.update(edit.get("files", {}))
        roles = {"README.txt": "readme", "report.html": "report"}
        listed = [
            {"path": path, "role": roles.get(path, "evidence"), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for path, data in sorted(files.items())
        ]
        manifest = {
            "v": 2, "type": "audit-pack/v2", "instance": INSTANCE, "tenant_id": TENANT, "log_origin": ORIGIN,
            "as_of": {"size": len(leaves), "root": tree(leaves).hex(), "signed_at": time(60 * len(leaves))},
            "scope": scope, "certificates": states, "files": listed, **edit.get("manifest", {}),
        }
        manifest = edit.get("of_manifest", lambda it: it)(manifest)
        raw = edit.get("spelling", canonical)(manifest)
        files["MANIFEST.json"] = raw
        files["MANIFEST.dsse"] = dsse("manifest", raw, edit.get("by", self.signer), **edit.get("signing", {}))
        files.update(edit.get("later", {}))
        return zipped(files, **edit.get("zip", {}))

    def one(self, **edit):
        """A pack of the last certificate."""
        id_, index = self.made[-1]
        return self.pack({"certificates": [id_]}, {id_: "valid"}, [[index, index + 1]], **edit)

    def span(self, start, end, **edit):
        """A pack of a range of the log; its certificates are valid unless `states` says otherwise."""
        states = {id_: "valid" for id_, index in self.made if start <= index < end}
        states.update(edit.pop("states", {}))
        numbers = sorted(event["node"]["ctr"] for event in self.events[start:end])
        node = {"node": "nod_01JD5V7N8Q0000000000000009", "boot": "01JD5V7N8Q000000000000000B"}
        gaps = [{**node, "after": a, "before": b} for a, b in zip(numbers, numbers[1:]) if b > a + 1]
        completeness = edit.pop("completeness", {"nodes": 1, "gaps": gaps})
        manifest = {"completeness": completeness, **edit.pop("manifest", {})}
        span = {"from": time(60 * start), "to": time(60 * end), "indexes": [start, end]}
        return self.pack({"range": span}, states, edit.pop("runs", [[start, end]]), manifest=manifest, **edit)


def simple(algorithm=Ed25519, before=4, after=4, **issuing):
    world = World(algorithm)
    world.others(before)
    world.issue(**issuing)
    world.others(after)
    return world


ODD = [None, True, 0, -1, 2**53 - 1, "", "odd", [], [0], {}, {"odd": 1}]


def changed(value):
    """A JSON value with one thing in it replaced by something odd, taken away or added; each way once."""
    for odd in ODD:
        if type(odd) is not type(value) or odd != value:
            yield odd
    if isinstance(value, dict) and value:
        yield list(value.values())
        yield {**value, "d": None}
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    for place, one in inner:
        for other in changed(one):
            copy = value.copy()
            copy[place] = other
            yield copy
        copy = value.copy()
        del copy[place]
        yield copy


def mutations():
    """Packs in which one value of one JSON text is odd, and everything around it signed and hashed anew."""
    def kept(seen):
        def keep(value):
            seen.append(value)
            return value
        return keep

    def instead(value):
        return lambda _: value

    def spoilt(name, value):
        world = World()
        world.others(2)
        # A certificate that is odd is told of by the log as it is.
        world.issue(**({"of_payload": instead(value)} if name == "payload" else {}))
        if name == "event":
            world.events[-1] = value
        world.others(1)
        edit = {} if name in ("payload", "event", "trust") or " " in name else {f"of_{name}": instead(value)}
        if name == "trust":
            edit["files"] = world.anchor()
        if name.startswith("anchor "):
            edit["files"] = world.anchor(**{f"of_{name.removeprefix('anchor ')}": instead(value)})
        start = world.made[-1][1] - 1
        pack = world.span(start, start + 3, **edit) if name != "event" else None
        if name == "event":
            span = {"from": time(60 * start), "to": time(60 * start + 180), "indexes": [start, start + 3]}
            manifest = {"completeness": {"nodes": 1, "gaps": []}}
            states = {world.made[-1][0]: "valid"}
            pack = world.pack({"range": span}, states, [[start, start + 3]], manifest=manifest)
        return pack, canonical(value) if name == "trust" else world.trust(quorum=2 if name.startswith("anchor ") else 0)

    for name in ("manifest", "statement", "proof", "payload", "event", "trust", "anchor event", "anchor statement"):
        seen, world = [], World()
        world.others(2)
        world.issue(**({"of_payload": kept(seen)} if name == "payload" else {}))
        world.others(1)
        if name == "event":
            seen.append(world.events[-2])
        elif name == "trust":
            seen.append(json.loads(world.trust(quorum=2)))
        elif name.startswith("anchor "):
            world.anchor(**{f"of_{name.removeprefix('anchor ')}": kept(seen)})
        elif name != "payload":
            start = world.made[-1][1] - 1
            world.span(start, start + 3, **{f"of_{name}": kept(seen)})
        for number, value in enumerate(changed(seen[0])):
            yield f"{name} {number}", *spoilt(name, value)


def large(count=100_000):
    """A pack of so many events in a row, with a certificate in every thousand."""
    world = World()
    world.others(1_000)
    while len(world.events) < count + 1_000:
        world.issue()
        world.others(999)
    world.others(500)
    return world.span(1_000, count + 1_000), world.trust()


def replaced(raw, old, new):
    assert raw.count(old) >= 1, old
    return raw.replace(old, new, 1)


def spoilt_note(note):
    """A note whose signature has one bit less or more."""
    start, blob = note.rstrip(b"\n").rsplit(b" ", 1)
    raw = bytearray(base64.b64decode(blob))
    raw[-1] ^= 1
    return start + b" " + base64.b64encode(raw) + b"\n"


def respelled(old, new):
    return lambda manifest: replaced(canonical(manifest), old, new)


def corpus():
    """Name, pack, what the verifiers must say, which check fails; a trust file or a newer checkpoint of its own."""
    verified, as_of, unwitnessed, failed, unsupported = "verified", "verified_as_of", "unwitnessed", "failed", "unsupported"
    world = simple()
    id_, index = world.made[0]
    good = world.one()
    yield "one-certificate", good, verified, None, {}
    yield "one-certificate-p256", simple(P256Key).one(), verified, None, {}
    yield "one-certificate-rsa", simple(RsaKey).one(), verified, None, {}

    many = World()
    for count in (3, 40, 1, 77):
        many.others(count)
        many.issue()
    many.rotate(Ed25519("certificate 2"))
    many.issue()
    many.rotate(Ed25519("log 2"), "log")
    many.log = Ed25519("log 2")
    many.others(7)
    ids = [one for one, _ in many.made]
    runs = [[at, at + 1] for _, at in many.made]
    listed = lambda **edit: many.pack({"certificates": ids}, {one: "valid" for one in ids}, runs, **edit)
    yield "list-across-rotations", listed(), verified, None, {}
    yield "range-of-100", many.span(2, 102), verified, None, {}
    yield "range-of-everything", many.span(0, len(many.events)), verified, None, {}
    subject = {"subject": {"kind": "patient", "reference": sha256(b"reference").hex()}}
    yield "subject", many.pack(subject, {ids[1]: "valid", ids[3]: "valid"}, [runs[1], runs[3]]), verified, None, {}
    yield "head-by-the-old-log-key", listed(note=many.note(key=Ed25519("log"))), failed, "checkpoint", {}
    yield "list-in-another-order", many.pack({"certificates": ids[::-1]}, {one: "valid" for one in ids}, runs), failed, "certificate_list", {}
    yield "list-with-one-left-out", many.pack({"certificates": ids}, {one: "valid" for one in ids[:-1]}, runs), failed, "certificate_list", {}

    gone = World()
    gone.others(3)
    first, second = gone.issue(), gone.issue()
    gone.event("record.opened", skip=2)
    end = len(gone.events)
    told = gone.revoke(first)
    gone.event("certificate.superseded", ("certificate", second), {"by": "crt_x"})
    runs = [[2, end], [told, told + 2]] if told > end else [[2, told + 2]]
    states = {first: "revoked", second: "superseded"}
    yield "range-with-revoked", gone.span(2, end, runs=runs, states=states), verified, None, {}
    yield "range-hides-a-revocation", gone.span(2, end, runs=runs, states={**states, first: "valid"}), failed, "certificate", {}
    yield "range-with-a-false-count", gone.span(2, end, runs=runs, states=states, completeness={"nodes": 1, "gaps": []}), failed, "completeness", {}
    yield "range-without-its-end", gone.span(2, end, runs=[[2, end - 1]], states={first: "valid", second: "valid"}), failed, "range", {}
    at = gone.made[0][1]
    single = gone.pack({"certificates": [first]}, {first: "revoked"}, [[at, at + 1], [told, told + 1]])
    yield "list-with-revoked", single, failed, "certificate", {}

    for name, state, spared, verdict in [
        ("key-suspended", "suspended", None, failed), ("key-revoked", "revoked", None, failed),
        ("key-revoked-before", "revoked", 3, failed), ("key-revoked-after", "revoked", 6, verified), ("key-expired", "expired", None, verified),
    ]:
        world = World(first_key_state=state, spared=spared)
        world.others(4)
        untrusted = world.issue()
        world.others(2)
        world.activate(Ed25519("certificate 2"), "certificate")
        by = Ed25519("certificate 2")
        yield f"list-{name}", world.one(by=by), verdict, "certificate" if verdict == failed else None, {}
        if state == "revoked" and verdict == failed:
            yield f"range-{name}", world.span(3, 8, by=by, states={untrusted: "untrusted"}), verified, None, {}

    world = simple()
    older, newer = world.note(), None
    pack = world.one()
    world.others(2)
    newer = world.note()
    yield "with-a-newer-head", pack, as_of, None, {"checkpoint": newer}
    yield "with-its-own-head", pack, verified, None, {"checkpoint": older}
    yield "with-an-older-head", world.one(), failed, "not_older", {"checkpoint": older}
    forked = world.note(size=11, root=sha256(b"fork"))
    yield "with-a-forked-head", pack, failed, "newer_head", {"checkpoint": forked}
    yield "with-another-logs-head", pack, failed, "newer_checkpoint", {"checkpoint": world.note(origin="chancery.example/t/1")}
    yield "with-a-newer-head-of-a-second-epoch", pack, as_of, None, {"checkpoint": world.note(origin=f"{ORIGIN}/e2")}
    yield "with-a-forged-newer-head", pack, failed, "newer_checkpoint", {"checkpoint": spoilt_note(newer)}
    yield "with-a-newer-head-that-is-no-text", pack, failed, "newer_checkpoint", {"checkpoint": b"\xff" + newer}
    world.rotate(Ed25519("log 2"), "log")
    later = world.note(key=Ed25519("log 2"))
    yield "with-a-newer-head-by-a-later-log-key", pack, unsupported, "newer_checkpoint", {"checkpoint": later}
    yield "with-an-older-head-by-a-stranger", pack, failed, "newer_checkpoint", {"checkpoint": world.note(size=10, key=Ed25519("stranger"))}
    yield "with-a-witness-asked-for", pack, unwitnessed, "witnesses", {"trust": world.trust(quorum=1)}
    anchored = simple()
    files = anchored.anchor()
    by = anchored.above.witnesses
    whole = anchored.one(files=files)
    yield "anchored", whole, verified, None, {}
    yield "anchored-and-witnessed", whole, verified, None, {"trust": anchored.trust(quorum=2)}
    yield "anchored-with-a-witness-too-few", whole, unwitnessed, "witnesses", {"trust": anchored.trust(quorum=3)}
    yield "anchored-with-no-witness-in-the-trust-file", whole, unwitnessed, "witnesses", {"trust": anchored.trust(quorum=1, witnesses={"keys": []})}
    old = json.loads(anchored.trust(quorum=2))
    del old["witnesses"]["log_origin"]
    yield "anchored-for-a-trust-file-that-names-no-log", whole, verified, None, {"trust": canonical(old)}
    elsewhere = {"trust": anchored.trust(quorum=2, witnesses={"log_origin": "chancery.example/t/1"})}
    yield "anchored-in-another-log-than-is-trusted", whole, failed, "anchor_keys", elsewhere
    anchored.others(1)
    newer = anchored.note()
    yield "anchored-with-a-newer-head", whole, as_of, None, {"trust": anchored.trust(quorum=2), "checkpoint": newer}
    anchored = simple()
    twice = lambda key: [key.vkey, Witness(key.name, "another").vkey]
    for name, witnesses in [
        ("trust-with-a-witness-twice", [by[0].vkey, by[0].vkey]), ("trust-with-two-witnesses-of-one-name", twice(by[0])),
        ("trust-with-a-log-key-as-a-witness", [f"{by[0].name}+{by[0].short.hex()}+{b64(bytes([1]) + by[0].raw)}"]),
        ("trust-with-a-witness-under-another-id", [by[0].vkey.replace(by[0].short.hex(), "00000000")]),
    ]:
        yield name, whole, unsupported, "trust", {"trust": anchored.trust(quorum=1, witnesses={"keys": witnesses})}
    quorum = {"trust": anchored.trust(quorum=2)}
    stranger, first, second = Ed25519("stranger"), by[0], by[1]
    for name, edit in [
        ("cosigned-twice-by-one", {"signed": 1, "lines": [lambda body: first.line(body, SEEN + 1)]}),
        ("cosigned-by-a-stranger", {"signed": 1, "lines": [Witness("witness.example/w2", "stranger").line]}),
        ("cosigned-under-another-name", {"signed": 1, "lines": [Witness("witness.example/w9", "witness.example/w2").line]}),
        ("cosigned-another-head", {"signed": 1, "lines": [lambda body: second.line(body, of=body.replace(b"\n13\n", b"\n14\n"))]}),
        ("cosigned-with-a-forged-line", {"signed": 2, "lines": [lambda body: second.line(body, of=b"other")]}),
        ("cosigned-after-the-year-9998", {"signed": 1, "lines": [lambda body: second.line(body, 253_370_764_800)]}),
        ("cosigned-too-late-for-a-number", {"signed": 1, "lines": [lambda body: second.line(body, 2**63)]}),
    ]:
        yield name, anchored.one(files=anchored.anchor(**edit)), unwitnessed, "witnesses", quorum
    at_last = {"signed": 1, "lines": [lambda body: second.line(body, 253_370_764_799)]}
    yield "cosigned-at-the-last-moment", anchored.one(files=anchored.anchor(**at_last)), verified, None, quorum
    other = {"signed": 2, "lines": [lambda body: "\u2014 other.example AAAAAAA=\n".encode()]}
    yield "cosigned-by-others-too", anchored.one(files=anchored.anchor(**other)), verified, None, quorum
    for name, check, edit in [
        ("anchor-of-another-log", "anchor_event", {"event": {"resource": {"kind": "log", "id": "chancery.example/t/1"}}}),
        ("anchor-of-another-kind", "anchor_event", {"event": {"type": "app.head_noted"}}),
        ("anchor-of-another-size", "anchor_event", {"event": {"detail": {"root": tree(anchored.leaves()).hex(), "size": 10}}}),
        ("anchor-of-another-root", "anchor_event", {"event": {"detail": {"root": "0" * 64, "size": 11}}}),
        ("anchor-of-a-true-size", "anchor_event", {"event": {"detail": {"root": tree(anchored.leaves()).hex(), "size": True}}}),
        ("anchor-by-a-stranger", "anchor_checkpoint", {"key": stranger}),
        ("anchor-in-another-log", "anchor_checkpoint", {"origin": "chancery.example/t/1"}),
        ("anchor-under-another-head", "anchor_inclusion", {"top": sha256(b"top")}),
        ("anchor-at-another-place", "anchor_inclusion", {"proof": {"runs": [[6, 7]]}}),
        ("anchor-of-two-events", "anchor", {"proof": {"runs": [[7, 9]]}}),
        ("anchor-of-two-runs", "anchor", {"proof": {"runs": [[7, 8], [9, 10]]}}),
        ("anchor-of-no-run", "anchor", {"proof": {"runs": []}}),
        ("anchor-without-a-newline", "anchor", {"end": b""}),
        ("anchor-with-a-line-more", "anchor", {"end": b"\n\n"}),
        ("anchor-with-a-space", "anchor", {"line": b'{"type": "log.head_noted"}'}),
        ("anchor-keys-by-a-stranger", "anchor_signature", {"by": stranger}),
        ("anchor-keys-of-a-tenant", "anchor_signature", {"kind": "tenant-keys"}),
        ("anchor-keys-of-another-instance", "anchor_keys", {"statement": {"instance": "other.example"}}),
        ("anchor-keys-of-another-log", "anchor_keys", {"statement": {"log_origin": "chancery.example/t/1"}}),
        ("anchor-keys-that-are-a-text", "anchor_keys", {"statement": {"keys": ""}}),
        ("anchor-keys-that-are-none", "anchor_checkpoint", {"statement": {"keys": []}}),
        ("anchor-keys-of-another-size", "anchor_checkpoint", {"statement": {"as_of_size": 12}}),
        ("anchor-keys-suspended", "anchor_checkpoint", {"statement": {"keys": [{**anchored.above.entry, "state": "suspended"}]}}),
    ]:
        yield name, anchored.one(files=anchored.anchor(**edit)), failed, check, {}
    restored, epoch = f"{ORIGIN}/e2", anchored.note(origin=f"{ORIGIN}/e2")
    again = anchored.anchor(name=restored, origin=f"{PLATFORM_ORIGIN}/e3")
    yield "anchored-after-restores", anchored.one(note=epoch, files=again), verified, None, quorum
    yield "anchor-of-another-epoch", anchored.one(note=epoch, files=anchored.anchor()), failed, "anchor_event", {}
    late = anchored.anchor(statement={"v": 2, "type": "platform-log/v2"})
    yield "anchor-keys-of-a-later-version", anchored.one(files=late), unsupported, "anchor_version", {}
    for path in sorted(files):
        part = {name: data for name, data in files.items() if name != path}
        yield f"anchor-without-{path.split('/')[1].split('.')[0]}", anchored.one(files=part), failed, "anchor", {}
    yield "trust-of-another-instance", pack, failed, "instance", {"trust": world.trust(instance="other.example")}
    yield "trust-of-another-version", pack, unsupported, "trust", {"trust": world.trust(v=2)}
    yield "trust-with-spaces", pack, unsupported, "trust", {"trust": world.trust().replace(b",", b", ", 1)}
    key = json.loads(world.trust())["keys"][0]
    yield "trust-key-suspended", pack, failed, "keys_signature", {"trust": world.trust(keys=[{**key, "state": "suspended"}])}
    yield "trust-key-under-another-name", pack, unsupported, "trust", {"trust": world.trust(keys=[{**key, "key_id": world.log.id}])}

    world = simple()
    one = world.one
    head_now = {"size": 11, "root": tree(world.leaves()).hex()}
    for name, verdict, check, edit in [
        ("manifest-of-the-first-version", unsupported, "manifest_version", {"manifest": {"v": 1, "type": "audit-pack/v1"}}),
        ("manifest-of-a-later-version", unsupported, "manifest_version", {"manifest": {"v": 3, "type": "audit-pack/v3"}}),
        ("manifest-with-an-unknown-member", unsupported, "manifest_version", {"manifest": {"must": 1}}),
        ("scope-of-an-unknown-kind", unsupported, "scope_kind", {"manifest": {"scope": {"everything": True}}}),
        ("scope-of-two-kinds", unsupported, "scope_kind", {"manifest": {"scope": {"certificates": [id_], "subject": {}}}}),
        ("keys-of-a-later-version", unsupported, "keys_version", {"statement": {"v": 2}}),
        ("keys-of-another-tenant", failed, "scope", {"statement": {"tenant_id": OTHER}}),
        ("keys-of-another-log", failed, "scope", {"statement": {"log_origin": "chancery.example/t/1"}}),
        ("keys-of-another-size", failed, "keys_as_of", {"statement": {"as_of_size": 10}}),
        ("keys-by-a-stranger", failed, "keys_signature", {"platform": Ed25519("stranger")}),
        ("keys-by-the-tenant", failed, "keys_signature", {"platform": world.signer}),
        ("manifest-by-a-stranger", failed, "manifest_signature", {"by": Ed25519("stranger")}),
        ("manifest-by-the-log-key", failed, "manifest_signature", {"by": world.log}),
        ("manifest-under-another-name", failed, "manifest_signature", {"signing": {"keyid": world.log.id}}),
        ("manifest-signed-twice", failed, "manifest_signature", {"signing": {"times": 2}}),
        ("manifest-with-spaces", failed, "manifest", {"spelling": respelled(b'"v":2', b'"v": 2')}),
        ("manifest-with-a-member-twice", failed, "manifest", {"spelling": respelled(b'"v":2', b'"v":2,"v":2')}),
        ("manifest-with-a-float", failed, "manifest", {"spelling": respelled(b'"v":2', b'"v":2.0')}),
        ("manifest-with-an-exponent", failed, "manifest", {"spelling": respelled(b'"v":2', b'"v":2e0')}),
        ("manifest-with-minus-zero", failed, "manifest", {"spelling": respelled(b'"v":2', b'"v":-0')}),
        ("manifest-with-two-to-the-53", failed, "manifest", {"spelling": respelled(b'"v":2', b'"v":9007199254740992')}),
        ("manifest-with-a-lone-surrogate", failed, "manifest", {"spelling": respelled(b"chancery.example", b"\\ud800")}),
        ("manifest-with-a-needless-escape", failed, "manifest", {"spelling": respelled(b"chancery.example", b"\\u0063hancery.example")}),
        ("manifest-with-bad-utf8", failed, "manifest", {"spelling": respelled(b"chancery.example", b"\xff")}),
        ("manifest-with-a-byte-order-mark", failed, "manifest", {"spelling": lambda it: b"\xef\xbb\xbf" + canonical(it)}),
        ("manifest-with-a-name-outside-ascii", failed, "manifest", {"manifest": {"\u00e9": 1}}),
        ("manifest-nested-too-deeply", failed, "manifest", {"manifest": {"scope": json.loads("[" * 32 + "]" * 32)}}),
        ("head-of-another-size", failed, "as_of", {"manifest": {"as_of": {"size": 12, "root": "0" * 64, "signed_at": time(0)}}}),
        ("head-by-a-stranger", failed, "checkpoint", {"note": world.note(key=Ed25519("stranger"))}),
        ("head-of-another-log", failed, "checkpoint", {"note": world.note(origin="chancery.example/t/1")}),
        ("head-of-a-second-epoch", verified, None, {"note": world.note(origin=f"{ORIGIN}/e2")}),
        ("head-of-an-eleventh-epoch", verified, None, {"note": world.note(origin=f"{ORIGIN}/e11")}),
        ("head-of-a-first-epoch-by-name", failed, "checkpoint", {"note": world.note(origin=f"{ORIGIN}/e1")}),
        ("head-of-an-epoch-with-a-leading-zero", failed, "checkpoint", {"note": world.note(origin=f"{ORIGIN}/e02")}),
        ("head-of-an-epoch-of-an-epoch", failed, "checkpoint", {"note": world.note(origin=f"{ORIGIN}/e2/e3")}),
        ("head-of-an-epoch-of-two-to-the-53", failed, "checkpoint", {"note": world.note(origin=f"{ORIGIN}/e9007199254740992")}),
        ("head-with-a-leading-zero", failed, "checkpoint", {"note": replaced(world.note(), b"\n11\n", b"\n011\n")}),
        ("file-added", failed, "files", {"later": {"notes.txt": b"more"}}),
        ("file-added-as-a-manifest", failed, "files", {"later": {"MANIFEST.txt": b"more"}}),
        ("file-added-beyond-the-folder", failed, "archive", {"files": {"../notes.txt": b"more"}}),
        ("file-added-at-the-root", failed, "archive", {"files": {"/notes.txt": b"more"}}),
        ("file-added-by-a-backslash", failed, "archive", {"files": {"certs\\..\\notes.txt": b"more"}}),
        ("file-added-without-a-folder", failed, "archive", {"files": {"certs//notes.txt": b"more"}}),
        ("file-added-on-a-drive", failed, "archive", {"files": {"C:notes.txt": b"more"}}),
        ("file-added-that-moves-a-cursor", failed, "archive", {"files": {"\x1b[2Jnotes.txt": b"more"}}),
        ("head-of-an-impossible-time", failed, "as_of", {"manifest": {"as_of": {**head_now, "signed_at": "2026-13-45T25:61:61.000000Z"}}}),
        ("head-of-a-second-too-many", failed, "as_of", {"manifest": {"as_of": {**head_now, "signed_at": "2026-12-31T23:59:60.000000Z"}}}),
        ("file-changed", failed, "files", {"later": {"README.txt": b"other"}}),
        ("certificate-left-out", failed, "files", {"later": {f"certs/{id_}.dsse.json": b""}}),
        ("zip-compressed", failed, "archive", {"zip": {"stored": False}}),
        ("zip-with-a-comment", failed, "archive", {"zip": {"tail": b"more"}}),
        ("event-of-another-certificate", failed, "inclusion", {"files": {"log/entries.jsonl": canonical(world.events[0]) + b"\n"}}),
        ("events-without-the-last-newline", failed, "entries", {"files": {"log/entries.jsonl": canonical(world.events[index])}}),
        ("proof-at-another-place", failed, "inclusion", {"proof": {"runs": [[index - 1, index]]}}),
        ("proof-with-a-hash-less", failed, "inclusion", {"proof": {"hashes": []}}),
        ("proof-of-another-version", failed, "proof", {"proof": {"v": 2}}),
        ("proof-beyond-the-log", failed, "inclusion", {"proof": {"runs": [[index, index + 100]]}}),
        ("list-of-none", failed, "certificate_list", {"manifest": {"scope": {"certificates": []}, "certificates": {}}}),
        ("list-that-is-a-number", failed, "certificate_list", {"manifest": {"certificates": 5}}),
        ("list-that-is-missing", failed, "certificate_list", {"manifest": {"certificates": None}}),
        ("list-with-an-unknown-state", failed, "certificate_list", {"manifest": {"certificates": {id_: "fine"}}}),
        ("scope-that-is-a-text", unsupported, "scope_kind", {"manifest": {"scope": "certificates"}}),
        *[(f"scope-that-is-a-list-of-{kind}", unsupported, "scope_kind", {"manifest": {"scope": [kind]}}) for kind in SCOPES],
        ("scope-that-is-nothing", unsupported, "scope_kind", {"manifest": {"scope": None}}),
        ("head-that-is-a-number", failed, "as_of", {"manifest": {"as_of": 11}}),
        ("tenant-that-is-a-number", failed, "scope", {"manifest": {"tenant_id": 1}, "statement": {"tenant_id": 1}}),
        ("keys-that-are-none", failed, "manifest_signature", {"statement": {"keys": []}}),
        ("keys-that-are-a-text", failed, "key_list", {"statement": {"keys": "keys"}}),
        ("keys-that-are-nothing-said", failed, "key_list", {"statement": {"keys": ""}}),
        ("files-that-are-no-list", failed, "files", {"manifest": {"files": {}}}),
        ("proof-of-no-list", failed, "proof", {"proof": {"runs": {}}}),
        ("proof-of-odd-hashes", failed, "proof", {"proof": {"hashes": [5]}}),
        ("proof-of-capital-hashes", failed, "proof", {"proof": {"hashes": ["A" * 64]}}),
        ("proof-of-runs-backwards", failed, "proof", {"proof": {"runs": [[index + 1, index]]}}),
        ("proof-of-fractions", failed, "proof", {"files": {"log/proof.json": b'{"hashes":[],"runs":[[6.0,7]],"v":1}'}}),
        ("certificate-of-nobody", failed, "envelope", {"manifest": {"scope": {"certificates": ["crt_x"]}, "certificates": {"crt_x": "valid"}}}),
    ]:
        yield name, one(**edit), verdict, check, {}
    more = World.pack(world, {"certificates": [id_]}, {id_: "valid"}, [[index, index + 1]], proof={})
    hashes_ = [tree(world.leaves()[a:b]).hex() for a, b in [*cover(0, index), *cover(index + 1, 11)]]
    yield "proof-with-a-hash-more", one(proof={"hashes": [*hashes_, "0" * 64]}), failed, "inclusion", {}
    assert more == one(), "the same bytes at every run"
    key = world.keys[1]
    for name, changed in [
        ("key-with-its-private-half", {"jwk": {**key["jwk"], "d": url64(bytes(32))}}), ("key-under-another-name", {"key_id": world.log.id}),
        ("key-with-another-algorithm", {"alg": "ES256"}), ("key-in-an-unknown-state", {"state": "fine"}),
        ("key-of-an-odd-time", {"activated_at": "2026-01-01T00:01:00Z"}),
        ("key-of-an-impossible-time", {"activated_at": "2025-02-29T00:00:00.000000Z"}),
        ("key-with-a-negative-index", {"first_index": -1}),
    ]:
        yield name, one(statement={"keys": [world.keys[0], {**key, **changed}]}), failed, "key_list", {}
    for name, changed in [("key-activated-later", {"first_index": 7}), ("key-retired-before", {"last_index": 5})]:
        yield name, one(statement={"keys": [world.keys[0], {**key, **changed}]}), failed, "certificate", {}
    names = sorted([*(f["path"] for f in json.loads(unzipped(good)["MANIFEST.json"])["files"]), "MANIFEST.json", "MANIFEST.dsse"])
    yield "zip-in-another-order", zipped(unzipped(good), names=names[::-1]), failed, "archive", {}
    yield "zip-cut-short", good[:-1], failed, "archive", {}
    yield "zip-with-a-byte-before", b"\0" + good, failed, "archive", {}
    yield "nothing", b"", failed, "archive", {}

    for name, check, issuing in [
        ("certificate-forged", "signature", {"key": Ed25519("stranger"), "keyid": Ed25519("certificate 1").id}),
        ("certificate-of-a-strangers-key", "key", {"key": Ed25519("stranger")}),
        ("certificate-signed-twice", "envelope", {"times": 2}),
        ("certificate-attested-after-it-was-issued", "times", {"changed": {"attested_at": time(86399)}}),
        ("certificate-of-before-it-occurred", "times", {"changed": {"attested_at": time(10), "occurred_at": time(20)}}),
        ("certificate-older-than-its-key", "times", {"changed": {"issued_at": time(0)}}),
        ("certificate-of-an-odd-time", "payload", {"changed": {"issued_at": "2026-01-01T00:00:00+00:00"}}),
        ("certificate-of-an-impossible-time", "payload", {"changed": {"occurred_at": "2025-02-30T00:00:00.000000Z"}}),
        ("certificate-of-an-hour-too-many", "payload", {"changed": {"occurred_at": "2025-02-01T24:00:00.000000Z"}}),
        ("certificate-of-a-list-of-ids", "payload", {"changed": {"cert_id": [f"crt_{ulid(1000)}"]}}),
        ("certificate-of-a-later-version", "payload", {"changed": {"v": 2}}),
        ("certificate-that-names-another-key", "key_id", {"changed": {"issuer": {"name": "x", "key_id": "k", "alg": "Ed25519"}}}),
        ("certificate-of-another-tenant", "identity", {"changed": {"tenant_id": OTHER}}),
        ("certificate-of-another-log", "identity", {"changed": {"log_origin": "chancery.example/t/1"}}),
        ("certificate-of-another-id", "identity", {"changed": {"cert_id": f"crt_{ulid(7)}"}}),
        ("certificate-that-the-log-does-not-know", "event", {"told": {"envelope_sha256": "0" * 64}}),
        ("certificate-logged-with-another-key", "event", {"told": {"key_id": Ed25519("log").id}}),
    ]:
        yield name, simple(**issuing).one(), failed, check, {}
    world = simple()
    world.made[-1] = (id_, index - 1)
    yield "certificate-without-its-event", world.one(), failed, "logged", {}
    for name, odd in [
        ("event-of-a-list-of-types", {"type": ["certificate.issued"]}),
        ("event-of-a-list-of-ids", {"resource": {"kind": "certificate", "id": [id_]}}),
    ]:
        world = simple()
        world.events[index].update(odd)
        yield name, world.one(), failed, "logged", {}
    world = simple()
    span = {"from": "2025-02-30T00:00:00.000000Z", "to": time(660), "indexes": [index, index + 1]}
    edit = {"manifest": {"completeness": {"nodes": 1, "gaps": []}}}
    yield "range-of-an-impossible-time", world.pack({"range": span}, {id_: "valid"}, [[index, index + 1]], **edit), failed, "range", {}
    # Nodes in the order of their bytes, which is not that of UTF-16.
    world, nodes = World(), ("nod_\uffff", "nod_\U00010000")
    for counter in (0, 2):
        for node in nodes:
            world.event("record.opened", node={"id": node, "boot": "b", "ctr": counter})
    gaps = [{"node": node, "boot": "b", "after": 0, "before": 2} for node in nodes]
    yield "range-of-odd-nodes", world.span(2, 6, completeness={"nodes": 2, "gaps": gaps}), verified, None, {}
    spaced = simple()
    line = canonical(spaced.events[index]).replace(b'"v":1', b'"v": 1')
    leaves = spaced.leaves()
    leaves[index] = sha256(b"\0", line)
    as_of = {"size": 11, "root": tree(leaves).hex(), "signed_at": time(0)}
    edit = {"files": {"log/entries.jsonl": line + b"\n"}, "note": spaced.note(root=tree(leaves)), "manifest": {"as_of": as_of}}
    yield "event-with-a-space", spaced.one(**edit), failed, "events", {}
    yield from ending()
    yield from shown()
    yield from respelled_envelopes()
    yield from odd_keys()


def shown():
    """Events by their ids, and texts that they say in confidence."""
    texts, salt = {"address": "192.0.2.7", "reason": "Zo\u00eb's second opinion"}, sha256(b"a salt")
    committed = lambda name, value: sha256(b"\2", salt, len(name).to_bytes(4, "big"), name.encode(), value.encode()).hex()
    world = World()
    world.others(3)
    at = world.event("record.opened", sealed={name: committed(name, value) for name, value in texts.items()})
    world.others(3)
    ids, other = [event["event_id"] for event in world.events], at + 2
    whole = {name: {"salt": salt.hex(), "value": value} for name, value in texts.items()}

    def pack(names=(at, other), **files):
        files = {f"disclosures/{path}.json": canonical(value) for path, value in files.items()}
        return world.pack({"events": [ids[name] for name in names]}, {}, [[at, at + 1], [other, other + 1]], files=files)

    for name, beside in [
        ("events", {}), ("events-with-texts", {ids[at]: whole}), ("events-with-one-text", {ids[at]: {"reason": whole["reason"]}}),
        ("events-with-no-text", {ids[at]: {}}),
    ]:
        yield name, pack(**beside), "verified", None, {}
    for name, beside in [
        ("events-with-another-text", {ids[at]: {"reason": {**whole["reason"], "value": "a second opinion"}}}),
        ("events-with-another-salt", {ids[at]: {"reason": {**whole["reason"], "salt": sha256(b"other").hex()}}}),
        ("events-with-a-salt-in-capitals", {ids[at]: {"reason": {**whole["reason"], "salt": salt.hex().upper()}}}),
        ("events-with-a-short-salt", {ids[at]: {"reason": {**whole["reason"], "salt": salt.hex()[2:]}}}),
        ("events-with-a-text-under-another-name", {ids[at]: {"reason": whole["address"]}}),
        ("events-with-a-text-that-nothing-commits-to", {ids[at]: {**whole, "note": whole["reason"]}}),
        ("events-with-a-text-of-an-event-without", {ids[other]: whole}),
        ("events-with-a-text-of-no-event-here", {ids[at]: whole, ids[at + 1]: whole}),
        ("events-with-a-text-that-says-more", {ids[at]: {"reason": {**whole["reason"], "by": "x"}}}),
        ("events-with-a-text-that-is-a-number", {ids[at]: {"reason": {**whole["reason"], "value": 1}}}),
        ("events-with-a-list-of-texts", {ids[at]: [whole]}),
    ]:
        yield name, pack(**beside), "failed", "disclosures", {}
    for name, names in [("events-of-other-names", (at, at + 1)), ("events-with-one-more", (at,)), ("events-with-one-less", (at, at + 1, other))]:
        yield name, pack(names), "failed", "named_events", {}
    yield "events-in-another-order", pack((other, at)), "failed", "named_events", {}
    yield "events-named-twice", pack((at, at, other)), "failed", "named_events", {}
    for name, odd in [("events-without-an-id", None), ("events-of-an-odd-id", "evt_1"), ("events-of-a-list-of-ids", [ids[other]])]:
        world.events[other]["event_id"] = odd
        yield name, pack(), "failed", "named_events", {}
    world.events[other]["event_id"] = ids[other]
    files = {f"disclosures/{ids[at]}.json": canonical(whole)}
    yield "range-with-texts", world.span(2, 9, files=files), "verified", None, {}
    files = {f"disclosures/{ids[at]}.json": canonical(whole), "disclosures/notes.txt": b"more"}
    yield "range-with-texts-of-nobody", world.span(2, 9, files=files), "failed", "disclosures", {}


def respelled_envelopes():
    """Envelopes and signatures as lists of what they say: anybody can write them so, without a key."""
    world = simple()
    id_, files = world.made[0][0], unzipped(world.one())

    def signature(raw):
        it = json.loads(raw)
        return canonical({**it, "signatures": [[one["keyid"], one["sig"]] for one in it["signatures"]]})

    def envelope(raw):
        it = json.loads(raw)
        return canonical([it["payload"], it["payloadType"], it["signatures"]])

    for what, path, check in [
        ("manifest", "MANIFEST.dsse", "manifest_signature"), ("keys", "trust/keys.dsse", "keys"), ("certificate", f"certs/{id_}.dsse.json", "envelope"),
    ]:
        for name, change in [("envelope", envelope), ("signature", signature)]:
            edit = {"later" if what == "manifest" else "files": {path: change(files[path])}}
            yield f"{what}-{name}-that-is-a-list", world.one(**edit), "failed", check, {}


def odd_keys():
    """Keys that stand beside the one that signed, and that libraries think differently of."""
    world = simple()
    trust, entry = json.loads(world.trust())["keys"][0], world.keys[1]
    okp = lambda point: {"crv": "Ed25519", "kty": "OKP", "x": url64(point)}
    ec = lambda x, y: {"crv": "P-256", "kty": "EC", "x": url64(x), "y": url64(y)}
    n = RsaKey("beside").n
    rsa = lambda e, n=n: {"e": url64(e), "kty": "RSA", "n": url64(n.to_bytes((n.bit_length() + 7) // 8, "big"))}
    p25519 = 2**255 - 19
    eighth = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    for name, jwk, alg, good in [
        ("ed25519-at-the-neutral-point", okp(b"\1" + bytes(31)), "Ed25519", False), ("ed25519-at-nothing", okp(bytes(32)), "Ed25519", False),
        ("ed25519-of-order-8", okp(eighth), "Ed25519", False), ("ed25519-of-order-8-with-a-sign", okp(eighth[:31] + b"\xfa"), "Ed25519", False),
        ("ed25519-beyond-the-prime", okp((p25519 + 3).to_bytes(32, "little")), "Ed25519", False),
        ("ed25519-before-the-prime", okp((p25519 - 3).to_bytes(32, "little")), "Ed25519", True),
        ("p256-beside-the-curve", ec(b"\1" * 32, b"\2" * 32), "ES256", False), ("p256-at-nothing", ec(bytes(32), bytes(32)), "ES256", False),
        ("rsa-of-exponent-1", rsa(b"\1"), "PS256", False), ("rsa-of-exponent-2", rsa(b"\2"), "PS256", False),
        ("rsa-of-exponent-3", rsa(b"\3"), "PS256", False), ("rsa-of-exponent-65535", rsa(b"\xff\xff"), "PS256", False),
        ("rsa-of-exponent-65536", rsa(b"\1\0\0"), "PS256", False), ("rsa-of-exponent-65539", rsa(b"\1\0\3"), "PS256", True),
        ("rsa-of-an-exponent-of-33-bits", rsa(b"\1\xff\xff\xff\xff"), "PS256", True),
        ("rsa-of-an-exponent-of-34-bits", rsa(b"\2\0\0\0\1"), "PS256", False),
        ("rsa-of-an-exponent-of-57-bits", rsa(b"\1\0\0\0\0\0\0\1"), "PS256", False),
        ("rsa-of-an-even-modulus", rsa(b"\1\0\1", n - 1), "PS256", False), ("rsa-of-2041-bits", rsa(b"\1\0\1", 2**2041 - 1), "PS256", False),
        ("rsa-of-2047-bits", rsa(b"\1\0\1", 2**2047 - 1), "PS256", False), ("rsa-of-8192-bits", rsa(b"\1\0\1", 2**8192 - 1), "PS256", True),
        ("rsa-of-8193-bits", rsa(b"\1\0\1", 2**8193 - 1), "PS256", False),
    ]:
        named = {"jwk": jwk, "alg": alg, "key_id": url64(sha256(canonical(jwk)))}
        result = ("verified", None) if good else ("failed", "key_list")
        yield f"key-beside-{name}", world.one(statement={"keys": [*world.keys, {**entry, **named}]}), *result, {}
        if alg == "Ed25519" and not good:
            yield f"trust-key-beside-{name}", world.one(), "unsupported", "trust", {"trust": world.trust(keys=[trust, {**trust, **named}])}
    jwk = entry["jwk"]
    listed = [jwk["kty"], jwk["crv"], jwk["x"], *[None] * 7]
    for name, odd in [("that-is-a-list", listed), ("with-a-private-member-that-is-nothing", {**jwk, "d": None})]:
        yield f"key-{name}", world.one(statement={"keys": [world.keys[0], {**entry, "jwk": odd}]}), "failed", "key_list", {}
    jwk = trust["jwk"]
    listed = [jwk["kty"], jwk["crv"], jwk["x"], *[None] * 7]
    for name, odd in [("that-is-a-list", listed), ("with-a-private-member-that-is-nothing", {**jwk, "d": None})]:
        yield f"trust-key-{name}", world.one(), "unsupported", "trust", {"trust": world.trust(keys=[{**trust, "jwk": odd}])}
    more = {**entry["jwk"], "e": [], "kid": {}, "n": 5, "y": None}
    yield "key-with-members-of-other-types", world.one(statement={"keys": [world.keys[0], {**entry, "jwk": more}]}), "verified", None, {}
    yield "manifest-signed-with-the-neutral-point", world.one(by=Neutral("certificate 1")), "failed", "manifest_signature", {}
    name, point = "witness.example/w9", bytes([4, 1]) + bytes(31)
    vkey = f"{name}+{sha256(name.encode(), bytes([10]), point)[:4].hex()}+{b64(point)}"
    yield "trust-with-a-witness-at-the-neutral-point", world.one(), "unsupported", "trust", {"trust": world.trust(witnesses={"keys": [vkey]})}
    # Heads are signed with Ed25519 alone: another key has no id by which a note could name it.
    p256 = P256Key("log")
    other = {**world.keys[0], "alg": p256.alg, "jwk": p256.jwk, "key_id": p256.id}
    later = {"checkpoint": world.note(size=20, root=sha256(b"later"), key=Ed25519("later"))}
    yield "log-key-of-another-type", world.one(statement={"keys": [*world.keys, other]}), "failed", "key_list", later
    files = world.anchor(statement={"keys": [world.above.entry, {**world.above.entry, "alg": p256.alg, "jwk": p256.jwk, "key_id": p256.id}]})
    yield "anchor-keys-of-another-type", world.one(files=files), "failed", "anchor_keys", {}


def ending():
    """Certificates that say until when they are valid: over at the time of the head, not at the reader's."""
    for name, end, verdict, check in [
        ("certificate-that-ends-later", time(86_400), "verified", None),
        ("certificate-that-ends-with-the-head", time(660), "verified", None),
        ("certificate-that-is-over", time(659), "failed", "certificate"),
        ("certificate-that-ends-as-it-was-issued", time(360), "failed", "times"),
        ("certificate-that-ends-before-it-was-issued", time(359), "failed", "times"),
        ("certificate-that-ends-at-an-odd-time", "2026-01-01T00:10:00Z", "failed", "payload"),
        ("certificate-that-ends-at-nothing", None, "failed", "payload"),
    ]:
        yield name, simple(changed={"not_after": end}).one(), verdict, check, {}
    world = simple(changed={"not_after": time(400)})
    id_ = world.made[-1][0]
    yield "range-with-one-that-is-over", world.span(2, 11, states={id_: "expired"}), "verified", None, {}
    yield "range-with-one-that-is-over-called-valid", world.span(2, 11), "failed", "certificate", {}
    world.revoke(id_)
    yield "range-with-one-that-is-over-and-revoked", world.span(2, 12, states={id_: "revoked"}), "verified", None, {}


def unzipped(archive):
    """The files of an archive that `zipped` made."""
    count, start = struct.unpack("<10xHxxxxI2x", archive[-22:])
    files, at = {}, start
    for _ in range(count):
        size, length, offset = struct.unpack("<24xIH12xI", archive[at : at + 46])
        files[archive[at + 46 : at + 46 + length].decode()] = archive[offset + 30 + length : offset + 30 + length + size]
        at += 46 + length
    return files


def main():
    if sys.argv[1:2] == ["--large"]:
        # FOLDER: a pack of 100,000 events and its trust file, for measurements.
        pack, trust = large()
        folder = pathlib.Path(sys.argv[2])
        (folder / "large.zip").write_bytes(pack)
        (folder / "trust.json").write_bytes(trust)
        return 0
    folder = pathlib.Path(__file__).resolve().parents[2] / "testdata/packs"
    wanted, cases = {"trust.json": simple().trust()}, []
    for name, pack, verdict, check, more in corpus():
        case = {"name": name, "verdict": verdict, "fails": check}
        wanted[f"{name}.zip"] = pack
        for kind, suffix in (("trust", "trust.json"), ("checkpoint", "checkpoint")):
            if kind in more:
                wanted[f"{name}.{suffix}"] = more[kind]
                case[kind] = f"{name}.{suffix}"
        cases.append(case)
    assert len({case["name"] for case in cases}) == len(cases), "two of one name"
    wanted["cases.json"] = (json.dumps(cases, indent=1) + "\n").encode()
    if "--check" in sys.argv:
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "SOURCE.md"}
        odd = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        print(f"{len(cases)} packs" if not odd else f"not current: {', '.join(odd)}")
        return 1 if odd else 0
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in wanted and path.name != "SOURCE.md":
            path.unlink()
    for name, data in wanted.items():
        (folder / name).write_bytes(data)
    print(f"{len(cases)} packs, {sum(map(len, wanted.values()))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
