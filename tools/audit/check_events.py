"""Checks files of audit events (`chancery audit export`, a sink of files): every leaf hash, every proof, every place;
and of texts that lie open beside an event, that they are those that its leaf commits to.

An independent reader of the formats: RFC 6962 and C2SP tlog-proof, nothing of Chancery's own code, standard library only. Signatures
are not checked here: `chancery audit verify` and the packs do. Torn last lines are told of; second arrivals of an event are counted.

    python3 tools/audit/check_events.py FILE…
"""

import base64
import hashlib
import json
import re
import sys


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(index, size, leaf, path):
    """The root that a proof of inclusion leads to (RFC 9162, 2.1.3.2)."""
    if index >= size:
        raise ValueError("index beyond the tree")
    at, last, root = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise ValueError("proof is too long")
        if at & 1 or at == last:
            root = node(step, root)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            root = node(root, step)
        at >>= 1
        last >>= 1
    if last:
        raise ValueError("proof is too short")
    return root


def head_of(proof, index, leaf):
    """The head that a tlog-proof leads to from the leaf at this place: the log's name, its size, its root."""
    lines = proof.split("\n")
    if lines[:2] != ["c2sp.org/tlog-proof@v1", f"index {index}"]:
        raise ValueError("no tlog-proof, or one of another place")
    end = lines.index("")
    path = [base64.b64decode(line, validate=True) for line in lines[2:end]]
    origin, size, root = lines[end + 1:end + 4]
    if root_of(index, int(size), leaf, path) != base64.b64decode(root, validate=True):
        raise ValueError("the proof does not lead to the root")
    return origin, int(size), root


def check(event):
    core = event["core"].encode()
    leaf = hashlib.sha256(b"\x00" + core).digest()
    if leaf.hex() != event["leaf_hash"]:
        raise ValueError("leaf hash differs")
    leaf_members = json.loads(event["core"])
    if leaf_members["event_id"] != event["event_id"]:
        raise ValueError("event id differs")
    if "proof" not in event:
        return None
    origin, size, root = head_of(event["proof"], event["index"], leaf)
    log = event.get("log", origin)  # after a restore its heads have a name of their own: LOG/e2 and so on
    if origin != log and not re.fullmatch(re.escape(log) + r"/e([2-9]|[1-9][0-9]{1,15})", origin):
        raise ValueError("the proof is of another log")
    return origin, size, root


def disclosed(event):
    """How many texts lie open beside an event (`--personal`): each must be what its leaf commits to."""
    committed, texts = json.loads(event["core"]).get("sealed", {}), event.get("sealed_part") or {}
    for name, text in texts.items():
        salt, named, value = bytes.fromhex(text["salt"]), name.encode(), text["value"].encode()
        digest = hashlib.sha256(b"\x02" + salt + len(named).to_bytes(4, "big") + named + value).hexdigest()
        if len(salt) != 32 or digest != committed.get(name):
            raise ValueError(f"the text {name!r} is not what the leaf commits to")
    return len(texts)


def main(names):
    seen, heads, proven, again, wrong, texts = {}, {}, 0, 0, 0, 0
    for name in names:
        with open(name) as file:
            for number, line in enumerate(file, 1):
                try:
                    event = json.loads(line)
                    head = check(event)
                    texts += disclosed(event)
                except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
                    print(f"{name}:{number}: {error}")
                    wrong += 1
                    continue
                if event["event_id"] in seen:
                    again += 1
                    if seen[event["event_id"]] != event["leaf_hash"]:
                        print(f"{name}:{number}: came twice, and not the same")
                        wrong += 1
                seen[event["event_id"]] = event["leaf_hash"]
                if head:
                    proven += 1
                    origin, size, root = head
                    if heads.setdefault((origin, size), root) != root:
                        print(f"{name}:{number}: two heads of one size: the log was forked")
                        wrong += 1
    print(f"{len(seen)} events, {proven} proofs, {again} second arrivals, {wrong} faults, {texts} disclosed texts")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
