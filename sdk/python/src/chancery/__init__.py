"""Lets an ASGI application answer only what came through Chancery's gateway, and tells it who calls.

    from chancery import ChanceryMiddleware, get_authenticated_user_id

    app.add_middleware(ChanceryMiddleware, issuer="https://id.example", audience="clinic")

The gateway signs an assertion for every request that it forwards: who calls, of which tenant, with which roles, and for
which method and path. It is good for 60 seconds. Without one, or with one that is not right, the application is not asked.
"""

from ._assertion import AssertionRefused, Caller
from ._asgi import ChanceryMiddleware
from ._caller import (
    NotAuthenticated,
    current_caller,
    get_authenticated_tenant_id,
    get_authenticated_user_id,
    get_caller,
    has_role,
)
from ._keys import KeysUnavailable

__all__ = [
    "AssertionRefused",
    "Caller",
    "ChanceryMiddleware",
    "KeysUnavailable",
    "NotAuthenticated",
    "current_caller",
    "get_authenticated_tenant_id",
    "get_authenticated_user_id",
    "get_caller",
    "has_role",
]
