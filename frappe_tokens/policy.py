"""What the policies of a key allow. Nothing here queries, or reads a request or the clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from . import addresses
from .conf import conf
from .rates import parse_rate

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def has_ended(moment: datetime | None, now: datetime) -> bool:
    """Whether an expiry or a grace period is over at ``now``. None: never."""
    return moment is not None and now >= moment


def are_safe(methods: Iterable[str]) -> bool:
    """Whether a read-only key may use all of ``methods``."""
    return SAFE_METHODS.issuperset(methods)


def required_scopes(view: object, method: str) -> tuple[str, ...]:
    """Return the scopes that ``view`` declares for a request, if any.

    Args:
        view: has ``required_scopes``: a list, a string of words, or a dictionary of these by the
            ``action`` of a viewset or by the method in lower case.
        method: the request's method, for a view without actions.
    """
    declared = getattr(view, "required_scopes", None)
    if isinstance(declared, Mapping):
        name = getattr(view, "action", None) or method.lower()
        if name == "head" and name not in declared:
            name = "get"  # Django answers HEAD with the view's get()
        declared = declared.get(name)
    if isinstance(declared, str):
        return tuple(declared.split())
    return tuple(declared or ())


def open_view(held: Collection[str], required: Collection[str]) -> bool:
    """Whether the scopes ``held`` open a view that requires all of the scopes ``required``.

    If it requires none, only ``ALL_SCOPE`` opens it.
    """
    if required and set(required) <= set(held):
        return True
    everything = conf.ALL_SCOPE
    return bool(everything) and everything in {*held}


def widened(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the names of the policies (``POLICIES``) that allow more in ``after``."""
    # Called with values that differ.
    is_wider: dict[str, Callable[[Any, Any], bool]] = {
        "scopes": lambda old, new: bool(old) and not (new and _includes(old, new)),
        "read_only": lambda old, new: not new,
        "allowed_ips": addresses.is_wider,
        "rate_limit": _is_faster,
        "expires_at": lambda old, new: old is not None and (new is None or new > old),
        "self_rotate": lambda old, new: bool(new),
    }
    return {
        name
        for name, wider in is_wider.items()
        if before[name] != after[name] and wider(before[name], after[name])
    }


def _includes(old: Collection[str], new: Collection[str]) -> bool:
    everything = conf.ALL_SCOPE
    return set(new) <= set(old) or (bool(everything) and everything in old)


def _is_faster(before: str, after: str) -> bool:
    """Whether the rate ``after`` allows more than ``before``, in any length of time."""
    try:
        old, new = parse_rate(before), parse_rate(after)
    except ValueError:
        # Stored without validation, or "": the site's rate, which is unknown here.
        return True
    return new.number > old.number or new.number * old.seconds > old.number * new.seconds
