"""Bytes, both ways."""

import hashlib
import random


def chunks(total: int):
    noise = random.Random(7)
    while total:
        size = min(total, noise.randint(1, 65_536))
        yield noise.randbytes(size)
        total -= size


def test_a_form_brings_its_file_whole(client):
    content = b"".join(chunks(1_500_000))
    form = {"data": {"kind": "letter"}, "files": {"file": ("Dopis č. 1.pdf", content, "application/pdf")}}
    response = client.post("/api/documents", **form)
    assert response.status_code == 201, response.text
    digest = hashlib.sha256(content).hexdigest()
    assert response.json() == {"name": "Dopis č. 1.pdf", "kind": "letter", "size": len(content), "sha256": digest}


def test_a_stream_of_unknown_length_arrives_whole(client):
    digest, size = hashlib.sha256(), 0

    def stream():
        nonlocal size
        for chunk in chunks(3_000_000):
            digest.update(chunk)
            size += len(chunk)
            yield chunk

    response = client.put("/api/documents/raw", content=stream())
    assert response.status_code == 201, response.text
    assert (response.json()["size"], response.json()["sha256"]) == (size, digest.hexdigest())


def test_a_download_of_unknown_length_arrives_whole(client):
    size = 3_000_001
    with client.stream("GET", "/api/documents/sample", params={"size": size}) as response:
        got = b"".join(response.iter_bytes())
    assert response.status_code == 200
    assert got == (bytes(range(256)) * (size // 256 + 1))[:size]
