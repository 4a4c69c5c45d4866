"""System checks of the settings for clients that register themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from django.core import checks
from django.core.checks import CheckMessage
from django.urls import get_resolver
from oauth2_provider.scopes import get_scopes_backend
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.views import AuthorizationView

from frappe_tokens.checks.configuration import value_of
from frappe_tokens.verification import routed_views

_TOOLKITS_PAGE = f"{AuthorizationView.__module__}.{AuthorizationView.__qualname__}"


def check_registration(**kwargs: object) -> Iterator[CheckMessage]:
    """W017 and W018: clients get no scope, or one by a page that doesn't know their limits."""
    may_register = value_of("OAUTH_DYNAMIC_REGISTRATION") or oauth2_settings.CIMD_ENABLED
    scopes = value_of("OAUTH_REGISTRATION_SCOPES")
    if scopes is None:
        return
    if may_register and not scopes:
        yield checks.Warning(
            "OAuth 2 clients may register themselves, but can't get any scope.",
            hint="Set FRAPPE_TOKENS['OAUTH_REGISTRATION_SCOPES'] to the scopes that any client "
            "may ask a user for.",
            id="frappe_tokens.W017",
        )
    declared = _declared_scopes()
    for scope in dict.fromkeys([*scopes, *filter(None, [value_of("ALL_SCOPE")])]):
        if declared is not None and scope not in declared:
            yield checks.Warning(
                f"FRAPPE_TOKENS names the scope {scope!r}, which OAUTH2_PROVIDER doesn't declare: "
                "no client can get it.",
                hint="Add it to OAUTH2_PROVIDER['SCOPES'], with a description.",
                id="frappe_tokens.W017",
            )
    if may_register and _toolkits_page_is_routed():
        yield checks.Warning(
            "OAuth 2 clients may register themselves, and the URLconf has django-oauth-toolkit's "
            "own page for giving access. It doesn't say that they chose their own name, and may "
            "not ask the user at all.",
            hint="Of oauth2_provider.urls, include only management_urlpatterns.",
            id="frappe_tokens.W018",
        )


def _declared_scopes() -> dict[str, str] | None:
    """Return the toolkit's scopes; None if they can't be read, such as from a missing table."""
    with suppress(Exception):
        declared: dict[str, str] = get_scopes_backend().get_all_scopes()
        return declared
    return None


def _toolkits_page_is_routed() -> bool:
    with suppress(Exception):  # Django's check of the URLconf reports a broken one
        return any(view.name == _TOOLKITS_PAGE for view in routed_views(get_resolver()))
    return False
