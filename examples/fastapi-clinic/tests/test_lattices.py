"""The bounds of a lattice."""

import pytest

GOOD = {"dimensions": 3, "size": 10}


@pytest.mark.parametrize(
    ("told", "name"),
    [({}, None), ({"name": None}, None), ({"name": "a"}, "a"), ({"name": "x" * 100}, "x" * 100), ({"name": "  b "}, "b")],
    ids=["no name", "null", "one letter", "a hundred", "spaces around it"],
)
def test_a_name_may_be_left_out_and_is_trimmed(client, told, name):
    response = client.post("/api/lattices", json=GOOD | told)
    assert response.status_code == 201, response.text
    assert response.json() == GOOD | {"name": name}


@pytest.mark.parametrize("told", [{"dimensions": 1}, {"dimensions": 10}, {"size": 2}, {"size": 100}], ids=str)
def test_the_ends_are_within(client, told):
    assert client.post("/api/lattices", json=GOOD | told).status_code == 201


@pytest.mark.parametrize(
    "told",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 101},
        {"name": 7},
        {"dimensions": 0},
        {"dimensions": 11},
        {"dimensions": 2.5},
        {"dimensions": None},
        {"size": 1},
        {"size": 101},
        {"size": "many"},
    ],
    ids=str,
)
def test_beyond_them_is_refused(client, told):
    assert client.post("/api/lattices", json=GOOD | told).status_code == 422


def test_what_is_no_json_is_refused(client):
    response = client.post("/api/lattices", content=b'{"size": ', headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
