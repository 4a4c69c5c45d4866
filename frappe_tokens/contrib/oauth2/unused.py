"""Deletes clients that registered themselves, and that no one uses."""

from __future__ import annotations

from datetime import datetime

from django.db import router, transaction
from django.db.models import QuerySet
from django.utils import timezone
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.models import (
    get_access_token_model,
    get_application_model,
    get_grant_model,
    get_refresh_token_model,
    refresh_token_expire_timedelta,
)
from oauth2_provider.settings import oauth2_settings


def delete_unused(before: datetime) -> int:
    """Delete the unchecked clients without a token since ``before``. Return how many there were."""
    alias = router.db_for_write(get_application_model())
    deleted = 0
    for pk in list(_unused_since(before, alias).values_list("pk", flat=True)):
        with transaction.atomic(using=alias):
            # It may have got a token meanwhile.
            rows = get_application_model()._base_manager.using(alias)
            rows.select_for_update().filter(pk=pk).first()
            application = _unused_since(before, alias).filter(pk=pk).first()
            if application is not None:
                application.delete()
                deleted += 1
    return deleted


def _unused_since(before: datetime, alias: str) -> QuerySet[Application]:
    """Return the clients that got no token since ``before``, and have none that still works."""
    now = timezone.now()
    # One for managing a registration never expires.
    access_tokens = get_access_token_model()._base_manager.exclude(
        scope=oauth2_settings.DCR_REGISTRATION_SCOPE
    )
    refresh_tokens = get_refresh_token_model()._base_manager.filter(
        revoked=None, access_token__isnull=False
    )
    if lifetime := refresh_token_expire_timedelta():
        refresh_tokens = refresh_tokens.filter(access_token__expires__gte=now - lifetime)
    unused = (
        get_application_model()
        ._base_manager.using(alias)
        .exclude(registration_source=Application.RegistrationSource.MANUAL)
    )
    codes = get_grant_model()._base_manager.filter(expires__gte=now)
    for rows in (codes, access_tokens.filter(expires__gte=now), refresh_tokens):
        in_use = rows.using(alias).exclude(application=None).values("application")
        unused = unused.exclude(pk__in=in_use)
    unused_clients: QuerySet[Application] = unused.filter(updated__lt=before)
    return unused_clients
