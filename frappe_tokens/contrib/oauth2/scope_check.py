"""A system check of the settings for clients that register themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from django.core import checks
from django.core.checks import CheckMessage
from oauth2_provider.scopes import get_scopes_backend
from oauth2_provider.settings import oauth2_settings

from frappe_tokens.conf import conf

ID = "frappe_tokens.W017"


def check_scopes(**kwargs: object) -> Iterator[CheckMessage]:
    """W017: clients may register, but get no scope, or one that isn't declared."""
    # E003 reports invalid settings. A project may keep its scopes in a table that isn't there yet.
    with suppress(Exception):
        may_register = conf.OAUTH_DYNAMIC_REGISTRATION or oauth2_settings.CIMD_ENABLED
        scopes = conf.OAUTH_REGISTRATION_SCOPES
        if may_register and not scopes:
            yield checks.Warning(
                "OAuth 2 clients may register themselves, but can't get any scope.",
                hint="Set FRAPPE_TOKENS['OAUTH_REGISTRATION_SCOPES'] to the scopes that any client "
                "may ask a user for.",
                id=ID,
            )
        declared = get_scopes_backend().get_all_scopes()
        named = [*scopes, *filter(None, [conf.ALL_SCOPE])]
        for scope in dict.fromkeys(named):
            if scope not in declared:
                yield checks.Warning(
                    f"FRAPPE_TOKENS names the scope {scope!r}, which OAUTH2_PROVIDER doesn't "
                    "declare: no client can get it.",
                    hint="Add it to OAUTH2_PROVIDER['SCOPES'], with a description.",
                    id=ID,
                )
