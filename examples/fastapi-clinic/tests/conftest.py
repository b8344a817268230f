"""Where the application is that is tested, and with which headers it is called."""

import json
import os
from collections.abc import Iterator

import httpx
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--base-url", default=os.environ.get("CLINIC_URL", "http://127.0.0.1:8000"))


@pytest.fixture(scope="session")
def base_url(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--base-url").rstrip("/")


@pytest.fixture(scope="session")
def headers() -> dict[str, str]:
    """Headers that go with every request, if wherever it runs wants some: `CLINIC_HEADERS={"name": "value"}`."""
    return json.loads(os.environ.get("CLINIC_HEADERS", "{}"))


@pytest.fixture(scope="session")
def client(base_url: str, headers: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, headers=headers, timeout=20) as client:
        yield client
