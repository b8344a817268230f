"""Readers of Chancery's formats, written from docs/adr/0001-suite-0x01.md, the RFCs and the C2SP texts, independent of the Rust code.

Plain rather than fast. Every reader raises `Refused` with the reason that the vectors name.
"""

import base64
import hashlib
import hmac
import json
import re

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

unhex = bytes.fromhex


class Refused(Exception):
    """The reason a case does not pass, spelled as in the files."""


def refuse(condition, reason):
    if condition:
        raise Refused(reason)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac256(key, message):
    return hmac.new(key, message, "sha256").digest()


def lv(*parts):
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def expand(key, info, length):
    out, block, number = b"", b"", 1
    while len(out) < length:
        block = hmac256(key, block + info + bytes([number]))
        out, number = out + block, number + 1
    return out[:length]


def strict_base64(text, alphabet, padded):
    refuse(not re.fullmatch(f"[A-Za-z0-9{alphabet}]*={{0,2}}", text), "NotText")
    raw = text.rstrip("=")
    refuse(len(raw) % 4 == 1, "NotText")
    data = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_" if alphabet == "_-" else None)
    again = base64.b64encode(data, altchars=b"-_" if alphabet == "_-" else None).decode()
    refuse(text != (again if padded else again.rstrip("=")), "NotText")
    return data


def unpadded(text):
    return strict_base64(text, "_-", False)


def padded(text):
    try:
        return strict_base64(text, "+/", True)
    except Refused:
        raise Refused("Malformed") from None


# Sealed values and wraps.


def parse(data, profile, overhead):
    for at, (wanted, reason) in enumerate([(0xF9, "NotSealed"), (profile, "UnknownProfile"), (1, "UnknownSuite")]):
        refuse(len(data) <= at, "NotSealed" if at == 0 else "TooShort")
        refuse(data[at] != wanted, reason)
    refuse(len(data) > 3 and data[3] & (0xFF if profile == 0x31 else 0xFE), "ReservedFlag")
    refuse(len(data) < overhead, "TooShort")


def decrypt(key, nonce, data, header):
    try:
        return AESGCM(key).decrypt(nonce, data[header:], data[:header])
    except InvalidTag:
        raise Refused("Tampered") from None


def context_digest(context):
    names = ("tenant", "domain", "table", "column", "row", "generation", "schema_type")
    digest = sha256(b"chancery/ctx/1", lv(*(unhex(context[name]) for name in names)))
    assert digest == unhex(context["digest"])
    return digest


def column_key(root, context):
    return expand(unhex(root), b"chancery/col/1" + lv(*(unhex(context[name]) for name in ("tenant", "table", "column"))), 32)


def open_field(key, context, data):
    parse(data, 0x11, 84)
    okm = expand(key, b"chancery/env/1" + data[:36] + context_digest(context), 64)
    refuse(not hmac.compare_digest(okm[32:], data[36:68]), "WrongKeyOrContext")
    return decrypt(okm[:32], data[24:36], data, 68)


def read_text(text, check=lambda data: parse(data, 0x11, 84)):
    refuse(not text.startswith("chy1."), "NotSealed")
    data = unpadded(text[5:])
    check(data)
    return data


# Records: docs/adr/0005-record-and-blob-profiles.md.


def table_key(root, context):
    return expand(unhex(root), b"chancery/tab/1" + lv(unhex(context["tenant"]), unhex(context["table"])), 32)


def parse_header(data, profile):
    parse(data, profile, 68)
    refuse(len(data) > 68, "TooLong")


def parse_member(data):
    refuse(not data or data[0] != 0xF9, "NotSealed")
    refuse(len(data) > 1 and data[1] != 0x13, "UnknownProfile")
    refuse(len(data) < 34, "TooShort")


def open_member(key, context, header, member, data):
    parse_header(header, 0x12)
    okm = expand(key, b"chancery/row/1" + header[:36] + context_digest(context), 64)
    refuse(not hmac.compare_digest(okm[32:], header[36:]), "WrongKeyOrContext")
    parse_member(data)
    refuse(data[2:6] != header[36:40], "WrongKeyOrContext")
    associated = header + data[:6] + lv(unhex(member["column"]), unhex(member["schema_type"]))
    try:
        return AESGCM(okm[:32]).decrypt(data[6:18], data[18:], associated)
    except InvalidTag:
        raise Refused("Tampered") from None


# Blobs: a header of ours, then C2SP chunked-encryption with HKDF-Expand-SHA-512 and AES-256-GCM.


def blob_key(root, context):
    return expand(unhex(root), b"chancery/blob/1" + lv(*(unhex(context[name]) for name in ("tenant", "table", "column"))), 32)


def open_blob(key, context, data):
    parse_header(data[:68], 0x14)
    return open_cobblestone(key, data[:12] + context_digest(context), data[12:])


def open_cobblestone(key, context, data):
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + data[:24] + context
    one = hmac.digest(key, info + b"\1", "sha512")
    okm = one + hmac.digest(key, one + info + b"\2", "sha512")
    refuse(not hmac.compare_digest(okm[44:76], data[24:56]), "WrongKeyOrContext")
    cipher, base, body, plaintext, number = AESGCM(okm[:32]), int.from_bytes(okm[32:44], "big"), data[56:], b"", 0
    while True:
        chunk = body[number * 16400 : (number + 1) * 16400]
        refuse(len(chunk) < 16, "WrongLength")
        try:
            plaintext += cipher.decrypt((base ^ number).to_bytes(12, "big"), chunk, b"")
        except InvalidTag:
            raise Refused("Tampered") from None
        if len(chunk) < 16400:
            return plaintext
        number += 1


def unwrap(kek, context, data):
    parse(data, 0x31, 92)
    parts = [unhex(context[name]) for name in ("parent", "child", "purpose")] + [context["version"].to_bytes(4, "big")]
    okm = expand(kek, b"chancery/wrap/1" + data[:44] + sha256(b"chancery/wrapctx/1", lv(*parts)), 76)
    refuse(not hmac.compare_digest(okm[32:64], data[44:76]), "WrongKeyOrContext")
    return decrypt(okm[:32], okm[64:76], data, 76)


# Keys in shares: crates/crypto/src/shamir/mod.rs.


def field_mul(a, b):
    product = 0
    while b:
        product, a, b = product ^ (a if b & 1 else 0), (a << 1) ^ (0x11B if a & 0x80 else 0), b >> 1
    return product


def field_invert(a):
    return next(b for b in range(1, 256) if field_mul(a, b) == 1)


def read_share(text):
    letters = re.sub(r"[\s-]", "", text).upper()
    refuse(not re.fullmatch("CHS1[A-Z2-7]{104}", letters), "NotAShare")
    data = base64.b32decode(letters[4:])
    refuse(sha256(data[:59])[:6] != data[59:], "Checksum")
    refuse(data[0] != 1 or data[1] < 2 or data[2] == 0, "NotAShare")
    return data


def combine(shares):
    refuse(not shares, "TooFew")
    refuse(len({(share[1], share[3:27]) for share in shares}) != 1, "Mixed")
    refuse(len({share[2] for share in shares}) != len(shares), "Twice")
    threshold, key = shares[0][1], bytes(32)
    refuse(len(shares) < threshold, "TooFew")
    for share in shares:
        weight = 1
        for x in (other[2] for other in shares if other is not share):
            weight = field_mul(weight, field_mul(x, field_invert(x ^ share[2])))
        key = bytes(byte ^ field_mul(weight, value) for byte, value in zip(key, share[27:59]))
    commitment = expand(key, b"chancery/share/1" + lv(shares[0][3:11], bytes([threshold])), 32)[:16]
    refuse(not hmac.compare_digest(commitment, shares[0][11:27]), "Wrong")
    return key


# Canonical JSON, JWK, Ed25519, DSSE.


def canonical(value, depth=32):
    if isinstance(value, dict):
        refuse(depth == 0, "TooDeep")
        refuse(not all(key.isascii() for key in value), "Key")
        items = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(item, depth - 1)}" for key, item in items) + "}"
    if isinstance(value, list):
        refuse(depth == 0, "TooDeep")
        return "[" + ",".join(canonical(item, depth - 1) for item in value) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        refuse(abs(value) >= 2**53, "IntegerTooLarge")
    return json.dumps(value, ensure_ascii=False)


def parse_canonical(data):
    def integer(digits):
        refuse(digits == "-0" or abs(int(digits)) >= 2**64, "Float")
        return int(digits)

    def refused(reason):
        def hook(_):
            raise Refused(reason)

        return hook

    try:
        value = json.loads(data.decode("utf-8"), parse_float=refused("Float"), parse_int=integer, parse_constant=refused("NotJson"))
        same = canonical(value).encode("utf-8") == data
    except (ValueError, RecursionError):
        raise Refused("NotJson") from None
    refuse(not same, "NotCanonical")
    return value


def thumbprint(jwk):
    refuse(any(name in jwk for name in "dkpq"), "NotPublic")
    kind = (jwk.get("kty"), jwk.get("crv"))
    sizes = {("OKP", "Ed25519"): {"x": 32}, ("EC", "P-256"): {"x": 32, "y": 32}, ("EC", "P-384"): {"x": 48, "y": 48}, ("RSA", None): {"n": 0, "e": 0}}
    refuse(kind not in sizes, "UnknownType")
    members = {"kty": kind[0]} if kind[0] == "RSA" else {"kty": kind[0], "crv": kind[1]}
    for name, size in sizes[kind].items():
        refuse(name not in jwk, "Malformed")
        data = unpadded(jwk[name])
        refuse(len(data) != size if size else not data or data[0] == 0, "Malformed")
        refuse(name == "n" and not 256 <= len(data) <= 1024, "Malformed")
        members[name] = jwk[name]
    return base64.urlsafe_b64encode(sha256(canonical(members).encode())).decode().rstrip("=")


PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493


# The y of the points whose order divides 8: orders 4, 1, 2, 8, 8.
EIGHTH = int.from_bytes(unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
SMALL = {0, 1, PRIME - 1, EIGHTH, PRIME - EIGHTH}


def good_point(data):
    y = int.from_bytes(data, "little") % 2**255
    return y < PRIME and y not in SMALL


def verify_ed25519(public, message, signature):
    if len(signature) != 64 or not good_point(public) or not good_point(signature[:32]) or int.from_bytes(signature[32:], "little") >= ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def pae(payload_type, payload):
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def read_dsse(data, public, keyid):
    envelope = parse_canonical(data)
    strings = lambda value, *names: isinstance(value, dict) and all(isinstance(value.get(name), str) for name in names)
    refuse(not strings(envelope, "payload", "payloadType") or set(envelope) != {"payload", "payloadType", "signatures"}, "Malformed")
    signatures = envelope["signatures"]
    refuse(not isinstance(signatures, list), "Malformed")
    refuse(not all(strings(one, "keyid", "sig") and set(one) == {"keyid", "sig"} for one in signatures), "Malformed")
    refuse(len(signatures) != 1, "SignatureCount")
    payload, signature = padded(envelope["payload"]), padded(signatures[0]["sig"])
    refuse(signatures[0]["keyid"] != keyid, "WrongKeyId")
    refuse(not verify_ed25519(public, pae(envelope["payloadType"], payload), signature), "BadSignature")
    return envelope["payloadType"], payload


# Merkle logs, straight from the definitions of RFC 6962 and the algorithms of RFC 9162.


class Tree:
    def __init__(self, size):
        self.levels = [[sha256(b"\0", number.to_bytes(8, "big")) for number in range(size)]]
        while len(self.levels[-1]) > 1:
            row = self.levels[-1]
            self.levels.append([sha256(b"\1", row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)])

    def root(self, start, end):
        count = end - start
        if count == 0:
            return sha256(b"")
        if count & (count - 1) == 0:
            return self.levels[count.bit_length() - 1][start // count]
        middle = start + split(count)
        return sha256(b"\1", self.root(start, middle), self.root(middle, end))

    def path(self, index, start, end):
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if index < middle:
            return self.path(index, start, middle) + [self.root(middle, end)]
        return self.path(index, middle, end) + [self.root(start, middle)]

    def subproof(self, old, start, end, whole):
        if old == end:
            return [] if whole else [self.root(start, end)]
        middle = start + split(end - start)
        if old <= middle:
            return self.subproof(old, start, middle, whole) + [self.root(middle, end)]
        return self.subproof(old, middle, end, False) + [self.root(start, middle)]


def split(count):
    return 1 << ((count - 1).bit_length() - 1)


def verify_inclusion(index, size, leaf, proof, root):
    refuse(index >= size, "OutOfRange")
    node, last, hash_ = index, size - 1, leaf
    for sibling in proof:
        refuse(last == 0, "WrongLength")
        if node & 1 or node == last:
            hash_ = sha256(b"\1", sibling, hash_)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            hash_ = sha256(b"\1", hash_, sibling)
        node, last = node >> 1, last >> 1
    refuse(last != 0, "WrongLength")
    refuse(hash_ != root, "RootMismatch")


def verify_consistency(old, new, old_root, new_root, proof):
    refuse(old > new, "OutOfRange")
    if old in (0, new):
        refuse(proof, "WrongLength")
        refuse(old_root != (sha256(b"") if old == 0 else new_root), "RootMismatch")
        return
    proof = ([] if old & (old - 1) else [old_root]) + proof
    refuse(not proof, "WrongLength")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = proof[0]
    for sibling in proof[1:]:
        refuse(last == 0, "WrongLength")
        if node & 1 or node == last:
            first, second = sha256(b"\1", sibling, first), sha256(b"\1", sibling, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = sha256(b"\1", second, sibling)
        node, last = node >> 1, last >> 1
    refuse(last != 0, "WrongLength")
    refuse((first, second) != (old_root, new_root), "RootMismatch")


# Checkpoints and proofs for a file.


def decimal(digits):
    refuse(not re.fullmatch("0|[1-9][0-9]*", digits, re.ASCII) or int(digits) >= 2**64, "Malformed")
    return int(digits)


def key_id(name, public):
    return sha256(name.encode(), b"\n\x01", public)[:4]


def read_vkey(text):
    parts = text.split("+", 2)
    refuse(len(parts) != 3, "Malformed")
    key = padded(parts[2])
    refuse(len(key) != 33 or key[0] != 1 or parts[1] != key_id(parts[0], key[1:]).hex(), "Malformed")
    return parts[0], key[1:]


def read_checkpoint(note, vkey):
    name, public = read_vkey(vkey)
    body, gap, lines = note.rpartition("\n\n")
    refuse(not gap or not lines.endswith("\n") or re.search("[\0-\x09\x0b-\x1f]", note), "Malformed")
    parts = body.split("\n")
    refuse(len(parts) != 3, "Malformed")
    refuse(not parts[0] or re.search(r"[\s+]", parts[0]), "Name")
    size, root = decimal(parts[1]), padded(parts[2])
    refuse(len(root) != 32, "Malformed")
    known = 0
    for line in lines[:-1].split("\n"):
        match = re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line)
        refuse(not match, "Malformed")
        blob = padded(match[2])
        refuse(len(blob) < 5, "Malformed")
        if match[1] == name and blob[:4] == key_id(name, public):
            refuse(not verify_ed25519(public, (body + "\n").encode(), blob[4:]), "BadSignature")
            known += 1
    refuse(not known, "UnknownKey")
    return parts[0], size, root


def read_proof(text, entry, vkey):
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    refuse(not gap or lines[0] != "c2sp.org/tlog-proof@v1" or len(lines) < 2 or not lines[1].startswith("index "), "Malformed")
    index, proof = decimal(lines[1][6:]), [padded(line) for line in lines[2:]]
    _, size, root = read_checkpoint(note, vkey)
    verify_inclusion(index, size, sha256(b"\0", entry), proof, root)
    return index, size
