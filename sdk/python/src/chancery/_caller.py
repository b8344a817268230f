"""Who calls, for whoever asks while a request is answered."""

from __future__ import annotations

from contextvars import ContextVar

from ._assertion import Caller

_caller: ContextVar[Caller | None] = ContextVar("chancery_caller", default=None)


class NotAuthenticated(Exception):
    """Nobody is known to call: the route lets strangers in, or the middleware is not there."""


def current_caller() -> Caller | None:
    """Who calls; `None` on routes that let strangers in."""
    return _caller.get()


def get_caller() -> Caller:
    """Who calls.

    Raises:
        NotAuthenticated: nobody is known to. The middleware answers 401 if nothing else does.
    """
    caller = _caller.get()
    if caller is None:
        raise NotAuthenticated("no caller is known: does the route let strangers in, is ChanceryMiddleware there?")
    return caller


def get_authenticated_user_id() -> str:
    """The id of who calls: `usr_…` of a person, `apk_…` of a program, `ext_…` of somebody of an identity provider.

    Raises:
        NotAuthenticated: nobody is known to call.
    """
    return get_caller().subject


def get_authenticated_tenant_id() -> str:
    """The id of the tenant whose data the caller may touch, `ten_…`.

    Raises:
        NotAuthenticated: nobody is known to call.
    """
    return get_caller().tenant_id


def has_role(role: str) -> bool:
    """Whether the caller has a role, one of Chancery's or one of its tenant's own. A stranger has none."""
    caller = _caller.get()
    return caller is not None and role in caller.roles
