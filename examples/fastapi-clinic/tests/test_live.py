"""Events as they happen, and sockets."""

import json
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


@pytest.fixture
def socket(base_url, headers):
    def opened(path: str, **options):
        return connect(base_url.replace("http", "ws", 1) + path, additional_headers=headers, **options)

    return opened


def test_events_arrive_one_at_a_time(client):
    seen = []
    with client.stream("GET", "/api/live/events", params={"count": 4, "every_ms": 150}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("data: "):
                seen.append((time.monotonic(), line.removeprefix("data: ")))
    assert [data for _, data in seen] == ["0", "1", "2", "3"]
    # Whoever collects them on the way gives them all at once.
    assert seen[-1][0] - seen[0][0] > 0.3


def test_the_application_learns_that_a_client_went_away(client):
    before = client.get("/api/live/left").json()["left"]
    with client.stream("GET", "/api/live/events", params={"count": 1000, "every_ms": 20}) as response:
        next(response.iter_lines())
    deadline = time.monotonic() + 5
    while client.get("/api/live/left").json()["left"] == before:
        assert time.monotonic() < deadline, "the application still sends"
        time.sleep(0.02)


def test_a_socket_says_text_and_bytes_back(socket):
    with socket("/api/live/ward/west", subprotocols=["clinic.v1"]) as ward:
        assert ward.subprotocol == "clinic.v1"
        assert json.loads(ward.recv(5)) == {"ward": "west"}
        for message in ("žluťoučký", b"\x00\xff" * 1000, "x" * 100_000, ""):
            ward.send(message)
            assert ward.recv(5) == message


def test_a_sockets_end_carries_its_code(socket):
    with socket("/api/live/ward/west") as ward:
        ward.recv(5)
        ward.send("bye")
        with pytest.raises(ConnectionClosed) as ended:
            ward.recv(5)
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4001, "as you wish")
