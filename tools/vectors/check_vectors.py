#!/usr/bin/env python3
"""Checks every vector in testdata/vectors/chancery with readers of its own (reader.py). Needs Python 3.9 and `cryptography`.

Exits 0 when each case opens, verifies or is refused as its file says; prints a line per file.
"""

import json
import math
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reader import *

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "testdata/vectors/chancery"
sys.path.insert(0, str(ROOT / "tools/audit"))
import check_events  # noqa: E402

CHECKS = {}


def check(name):
    def register(function):
        CHECKS[name] = function
        return function

    return register


def equal(found, wanted, case):
    assert found == wanted, f"got {found!r}, wanted {wanted!r} in {case}"


def refused(case, read, reason=None):
    """Runs `read`, which must refuse: with `reason`, with the case's own, or with any when `reason` is empty."""
    wanted = case["error"] if reason is None else reason
    try:
        found = read()
    except Refused as error:
        if wanted:
            equal(str(error), wanted, case)
        return
    raise AssertionError(f"accepted as {found!r}: {case}")


def inner(case):
    """`Inclusion(RootMismatch)` is the reason `RootMismatch` here."""
    return case["error"].rpartition("(")[2].rstrip(")")


@check("field")
def field(vectors):
    for case in vectors["opens"]:
        data, context = unhex(case["sealed"]), case["context"]
        equal(read_text(case["text"]), data, case)
        equal(data[:12], bytes([0xF9, 0x11, 1, case["flags"]]) + unhex(case["handle"]), case)
        equal(open_field(column_key(case["root"], context), context, data), unhex(case["plaintext"]), case)
        equal(len(data), len(unhex(case["plaintext"])) + 84, case)
    for case in vectors["refused"]:
        refused(case, lambda: open_field(column_key(case["root"], case["key_of"]), case["context"], unhex(case["sealed"])))
    for case in vectors["refused_texts"]:
        refused(case, lambda: read_text(case["text"]))
    for case in vectors["not_sealed_twice"]:
        assert unhex(case["plaintext"]).startswith((b"\xf9\x11", b"chy1.")), case


@check("record")
def record(vectors):
    header, key = unhex(vectors["header"]), table_key(vectors["root"], vectors["context"])
    equal(read_text(vectors["header_text"], lambda data: parse_header(data, 0x12)), header, "header_text")
    for case in vectors["opens"]:
        data = unhex(case["sealed"])
        equal(read_text(case["text"], parse_member), data, case)
        equal(open_member(key, vectors["context"], header, case["member"], data), unhex(case["plaintext"]), case)
        equal(len(data), len(unhex(case["plaintext"])) + 34, case)
    equal(len({case["sealed"][12:36] for case in vectors["opens"]}), len(vectors["opens"]), "nonces")
    for case in vectors["refused"]:
        refused(case, lambda: open_member(key, case["context"], unhex(case["header"]), case["member"], unhex(case["sealed"])))


@check("blob")
def blob(vectors):
    key, whole = blob_key(vectors["root"], vectors["context"]), []
    for case in vectors["opens"]:
        whole.append(unhex(case["sealed"]))
        plaintext = open_blob(key, vectors["context"], whole[-1])
        equal(plaintext, bytes(at % 251 for at in range(case["length"])), case["length"])
        equal(sha256(plaintext).hex(), case["plaintext_sha256"], case["length"])
        equal(len(whole[-1]), 68 + case["length"] + 16 * (case["length"] // 16384 + 1), case["length"])
    for case in vectors["refused"]:
        data = bytearray(b"".join(whole[of][start:end] for of, start, end in case["pieces"]))
        if case["flip"] is not None:
            data[case["flip"]] ^= 1
        refused(case, lambda: open_blob(key, case["context"], bytes(data)))


@check("share")
def share(vectors):
    for case in vectors["sets"]:
        shares, threshold = [read_share(text) for text in case["shares"]], case["threshold"]
        for start in range(len(shares) - threshold + 1):
            equal(combine(shares[start : start + threshold]), unhex(case["key"]), case)
        equal(combine(shares), unhex(case["key"]), case)
        equal({share[3:11].hex() for share in shares}, {case["set"]}, case)
        equal([share[2] for share in shares], list(range(1, len(shares) + 1)), case)
    for case in vectors["refused_sets"]:
        refused(case, lambda: combine([read_share(text) for text in case["shares"]]))
    for case in vectors["refused"]:
        refused(case, lambda: read_share(case["text"]))


@check("wrap")
def wrap(vectors):
    for case in vectors["opens"]:
        equal(unwrap(unhex(case["kek"]), case["context"], unhex(case["wrapped"])), unhex(case["material"]), case)
        equal(unhex(case["wrapped"])[4:12], unhex(case["handle"]), case)
    for case in vectors["refused"]:
        refused(case, lambda: unwrap(unhex(case["kek"]), case["context"], unhex(case["wrapped"])))


@check("derive")
def derive(vectors):
    for case in vectors["cases"]:
        equal(expand(unhex(case["root"]), case["label"].encode() + lv(*map(unhex, case["parts"])), 32), unhex(case["key"]), case)


def index_form(rule, texts):
    """What a rule hashes for ASCII texts, and the label hashed with it. `name/1` is lower case here, `date/1` the text itself."""
    kind, what, *_ = rule.split(" ")
    normal = lambda form, text: text.lower() if form == "name/1" else text
    if kind == "compound":
        return lv(*(normal(form, text).encode() for form, text in zip(what.split(","), texts))), f"compound/1({what})"
    if kind == "prefix":
        longest = int(rule.split(" ")[2].split("-")[1])
        return normal(what, texts[0])[:longest].encode(), f"prefix/1({what})"
    width, unit = what.split(":")
    if unit == "one":
        count = math.floor(Decimal(texts[0]))
    else:
        day = date.fromisoformat(texts[0])
        count = {"day": (day - date(1970, 1, 1)).days, "month": day.year * 12 + day.month - 1, "year": day.year}[unit]
    return str(count // int(width)).encode(), f"bucket/1({what})"


@check("blind-index")
def blind_index(vectors):
    for case in vectors["cases"]:
        key = expand(unhex(case["root"]), b"chancery/bidx/1" + lv(*(unhex(case[name]) for name in ("tenant", "table", "index"))), 32)
        whole = hmac256(key, lv(case["normaliser"].encode(), unhex(case["partition"]), unhex(case["normalised"])))
        equal(whole[: case["bits"] // 8].hex(), case["term"], case)
    for case in vectors["rules"]:
        form, normaliser = index_form(case["rule"], case["texts"])
        equal((form.hex(), normaliser), (case["normalised"], case["normaliser"]), case)
        key = expand(unhex(case["root"]), b"chancery/bidx/1" + lv(*(unhex(case[name]) for name in ("tenant", "table", "index"))), 32)
        equal(hmac256(key, lv(normaliser.encode(), b"", form))[: case["bits"] // 8].hex(), case["term"], case)
    assert all(bits % 8 or not 8 <= bits <= 256 for bits in vectors["refused_bits"])


@check("commitment")
def commitment(vectors):
    for case in vectors["cases"]:
        equal(sha256(b"\2", unhex(case["salt"]), lv(case["name"].encode()), unhex(case["value"])).hex(), case["commitment"], case)


@check("mac")
def mac(vectors):
    for case in vectors["cases"]:
        parts = [unhex(part) for part in case["parts"]]
        equal(hmac256(unhex(case["key"]), lv(*parts)).hex(), case["mac"], case)
        equal(hmac256(unhex(case["key"]), b"".join(parts)).hex(), case["raw_of_joined"], case)


@check("canonical")
def canonical_json(vectors):
    for case in vectors["accepted"]:
        equal(unhex(case["json"]).decode(), case["text"], case)
        parse_canonical(unhex(case["json"]))
    for case in vectors["rewritten"]:
        equal(canonical(json.loads(case["input"])), case["output"], case)
        refused(case, lambda: parse_canonical(case["input"].encode()))
    for case in vectors["refused"]:
        refused(case, lambda: parse_canonical(unhex(case["json"])))


@check("jwk")
def jwk(vectors):
    for case in vectors["cases"]:
        equal(thumbprint(case["jwk"]), case["thumbprint"], case)
    for case in vectors["refused"]:
        refused(case, lambda: thumbprint(case), "")


@check("ed25519")
def ed25519(vectors):
    for case in vectors["cases"]:
        equal(verify_ed25519(unhex(case["public"]), unhex(case["message"]), unhex(case["signature"])), case["valid"], case)


@check("dsse")
def dsse(vectors):
    key, public, keyid = Ed25519PrivateKey.from_private_bytes(unhex(vectors["seed"])), unhex(vectors["public"]), vectors["keyid"]
    equal(key.public_key().public_bytes_raw(), public, "seed")
    x = base64.urlsafe_b64encode(public).decode().rstrip("=")
    equal(thumbprint({"kty": "OKP", "crv": "Ed25519", "x": x}), keyid, "keyid")
    for case in vectors["cases"]:
        kind, payload = read_dsse(case["envelope"].encode(), public, keyid)
        equal((kind, payload.hex(), pae(kind, payload).hex()), (case["payload_type"], case["payload"], case["pae"]), case)
        equal(json.loads(case["envelope"])["signatures"][0]["sig"], base64.b64encode(key.sign(pae(kind, payload))).decode(), case)
    for case in vectors["refused"]:
        refused(case, lambda: read_dsse(case["envelope"].encode(), public, keyid), inner(case))


@check("merkle")
def merkle(vectors):
    size = vectors["size"]
    tree = Tree(size)
    for case in vectors["roots"]:
        equal(tree.root(0, case["size"]).hex(), case["root"], case)
        frontier, start = case["size"].to_bytes(8, "big"), 0
        for bit in (bit for bit in reversed(range(64)) if case["size"] >> bit & 1):
            frontier, start = frontier + tree.root(start, start + (1 << bit)), start + (1 << bit)
        equal(frontier.hex(), case["frontier"], case)
    for case in vectors["inclusion"]:
        index, size_then, proof = case["index"], case["size"], [unhex(one) for one in case["proof"]]
        equal(proof, tree.path(index, 0, size_then), case)
        verify_inclusion(index, size_then, tree.levels[0][index], proof, tree.root(0, size_then))
    for case in vectors["consistency"]:
        old, new, proof = case["old"], case["new"], [unhex(one) for one in case["proof"]]
        equal(proof, tree.subproof(old, 0, new, True) if old else [], case)
        verify_consistency(old, new, tree.root(0, old), tree.root(0, new), proof)
    for case in vectors["refused_inclusion"]:
        proof, leaf, root = [unhex(one) for one in case["proof"]], unhex(case["leaf"]), unhex(case["root"])
        refused(case, lambda: verify_inclusion(case["index"], case["size"], leaf, proof, root))
    for case in vectors["refused_consistency"]:
        proof, old_root, new_root = [unhex(one) for one in case["proof"]], unhex(case["old_root"]), unhex(case["new_root"])
        refused(case, lambda: verify_consistency(case["old"], case["new"], old_root, new_root, proof))
    path = lambda index: ("" if index < 1000 else path_x(index // 1000)) + f"{index % 1000:03}"
    path_x = lambda index: ("" if index < 1000 else path_x(index // 1000)) + f"x{index % 1000:03}/"
    name = lambda case: f"tile/{case['level']}/{path(case['index'])}" + ("" if case["width"] == 256 else f".p/{case['width']}")
    for case in vectors["edge"] + vectors["full_tiles"]:
        row = tree.levels[8 * case["level"]][case["index"] * 256 :][:256]
        equal((len(row), sha256(*row).hex(), row[0].hex()), (case["width"], case["sha256"], case["first"]), case)
        equal(name(case), case["path"], case)
    equal(name(vectors["far_path"]), vectors["far_path"]["path"], "far_path")
    edge = [(level, (size >> 8 * level) >> 8, (size >> 8 * level) % 256) for level in range(8) if (size >> 8 * level) % 256]
    equal([(case["level"], case["index"], case["width"]) for case in vectors["edge"]], edge, "edge")


@check("checkpoint")
def checkpoint(vectors):
    key, name = Ed25519PrivateKey.from_private_bytes(unhex(vectors["seed"])), vectors["name"]
    equal(read_vkey(vectors["vkey"]), (name, key.public_key().public_bytes_raw()), "vkey")
    for case in vectors["cases"]:
        origin, size, root = read_checkpoint(case["note"], vectors["vkey"])
        equal((origin, str(size), root.hex()), (case["origin"], case["size"], case["root"]), case)
    for case in vectors["refused"]:
        refused(case, lambda: read_checkpoint(case["note"], vectors["vkey"]))
    for case in vectors["refused_vkeys"]:
        refused(case, lambda: read_vkey(case["vkey"]))


@check("tlog-proof")
def tlog_proof(vectors):
    for case in vectors["cases"]:
        equal(read_proof(case["text"], unhex(case["entry"]), vectors["vkey"]), (case["index"], case["size"]), case)
    for case in vectors["refused"]:
        refused(case, lambda: read_proof(case["text"], unhex(case["entry"]), vectors["vkey"]), inner(case))

    # What reads the proofs of files of events is held to the same; it knows no signatures, and no place at which a bad one is good.
    def lead(case, index):
        try:
            return check_events.head_of(case["text"], index, sha256(b"\0", unhex(case["entry"])))
        except ValueError as error:
            raise Refused(str(error)) from error

    for case in vectors["cases"]:
        equal(lead(case, case["index"])[:2], (vectors["vkey"].partition("+")[0], case["size"]), case)
    for case in vectors["refused"]:
        for index in range(max(case["size"] for case in vectors["cases"]) + 1):
            refused(case, lambda: lead(case, index), "")


def main():
    files = sorted(FOLDER.glob("*.json"))
    equal({file.stem for file in files}, set(CHECKS), "the list of files")
    failed = 0
    for file in files:
        vectors = json.loads(file.read_text(encoding="utf-8"))
        try:
            CHECKS[file.stem](vectors)
            cases = sum(len(value) for value in vectors.values() if isinstance(value, list))
            print(f"ok      {file.name}: {cases} cases")
        except (AssertionError, Refused) as error:
            failed += 1
            print(f"FAILED  {file.name}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
