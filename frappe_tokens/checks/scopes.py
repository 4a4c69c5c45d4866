"""Whether the scopes that views require can be given to a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from django.core import checks
from django.core.checks import CheckMessage
from django.urls import get_resolver

from ..conf import scopes_of_toolkit
from ..verification import routed_views
from .configuration import value_of

# Clients need the scopes of these, which a project declares only if it wants such clients.
_OF_TOOLKIT = ("oauth2_provider.", "frappe_tokens.contrib.oauth2.")

# Views that are named in a warning.
NAMED_MAX = 3


def check_scopes(**kwargs: object) -> Iterator[CheckMessage]:
    """W016: views require scopes that are not declared."""
    declared = value_of("SCOPES")
    if declared is None:
        return
    missing: dict[str, list[str]] = {}
    # Django's check of the URLconf reports a broken one. A project may keep the toolkit's scopes in
    # a table that isn't there yet.
    with suppress(Exception):
        known = {*declared, *(scopes_of_toolkit() or ())}
        for view in routed_views(get_resolver()):
            for name, _method, scopes in view.requirements():
                if not name.startswith(_OF_TOOLKIT):
                    for scope in {*scopes} - known:
                        missing.setdefault(scope, []).append(name)
    for scope, names in sorted(missing.items()):
        first = sorted({*names})[:NAMED_MAX]
        yield checks.Warning(
            f"{', '.join(first)} {'require' if len(first) > 1 else 'requires'} the scope "
            f"{scope!r}, which is not declared: no key can have it.",
            hint=f"Add it to FRAPPE_TOKENS['SCOPES'] with a description, or correct its name. "
            f"The scopes are: {', '.join(declared)}.",
            id="frappe_tokens.W016",
        )
