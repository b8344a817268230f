"""Patients, and what HTTP says around them."""

import httpx
import pytest

ADA = {"name": "Ada Żółć", "ward": "west"}


def take_in(client: httpx.Client, **told: str) -> dict:
    response = client.post("/api/patients", json=ADA | told)
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/api/patients/{response.json()['id']}"
    return response.json()


def test_a_patient_is_taken_in_read_changed_and_let_go(client):
    patient = take_in(client)
    place = f"/api/patients/{patient['id']}"
    assert client.get(place).json() == ADA | {"id": patient["id"]}
    changed = client.put(place, json=ADA | {"ward": "east"})
    assert changed.status_code == 200 and changed.json()["ward"] == "east"
    gone = client.delete(place)
    assert gone.status_code == 204 and gone.content == b""
    assert client.get(place).status_code == 404


def test_a_missing_patient_is_told_in_the_applications_own_words(client):
    response = client.get("/api/patients/999999")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"detail": "no such patient"}


def test_wards_are_asked_for_by_repeating_the_parameter(client):
    ids = {ward: take_in(client, ward=ward)["id"] for ward in ("north", "south", "attic")}
    found = client.get("/api/patients", params={"ward": ["north", "south"], "limit": 100}).json()
    found = {patient["id"] for patient in found}
    assert ids["north"] in found and ids["south"] in found and ids["attic"] not in found


@pytest.mark.parametrize(
    "told",
    [{"name": ""}, {"name": "x" * 101}, {"ward": "West"}, {"ward": None}, {"colour": "red"}],
    ids=["empty name", "long name", "bad ward", "no ward", "unknown field"],
)
def test_what_is_not_valid_is_refused(client, told):
    assert client.post("/api/patients", json=ADA | told).status_code == 422


def test_bounds_hold_in_the_query_and_in_the_path(client):
    assert client.get("/api/patients", params={"limit": 0}).status_code == 422
    assert client.get("/api/patients", params={"limit": "many"}).status_code == 422
    assert client.get("/api/patients/0").status_code == 422
    assert client.get("/api/patients/one").status_code == 422


def test_the_version_that_a_client_has_is_not_sent_again(client):
    place = f"/api/patients/{take_in(client)['id']}"
    tag = client.get(place).headers["etag"]
    again = client.get(place, headers={"If-None-Match": tag})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == tag
    client.put(place, json=ADA | {"name": "Eve"})
    assert client.get(place, headers={"If-None-Match": tag}).status_code == 200


def test_a_slash_too_many_is_sent_to_the_right_place(client, base_url):
    response = client.get("/api/patients/", params={"limit": 1})
    assert response.status_code == 307
    assert response.headers["location"] == f"{base_url}/api/patients?limit=1"
    assert client.get("/api/patients/", params={"limit": 1}, follow_redirects=True).status_code == 200


def test_other_methods_are_refused_with_those_that_there_are(client):
    response = client.patch("/api/patients")
    assert response.status_code == 405 and response.headers["allow"] in ("GET", "POST", "GET, POST")
    assert response.json() == {"detail": "Method Not Allowed"}


def test_both_cookies_arrive(client):
    response = client.post("/api/visit")
    cookies = response.headers.get_list("set-cookie")
    assert response.status_code == 204 and len(cookies) == 2, cookies
