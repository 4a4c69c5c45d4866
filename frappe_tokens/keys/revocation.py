"""Ending keys for good."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import crypto, policy
from ..base_models import AbstractApiKey
from ..conf import conf
from ..lookup import invalidate
from ..models import ApiKey
from ..redaction import redacted
from .actors import Actor
from .announcements import announce_revoked
from .locking import lock_rows, lock_users, transaction_for


def revoke(key: AbstractApiKey, *, reason: str = "", by: Actor | None = None) -> bool:
    """End ``key`` for good, from the next request on. Its row stays, for the log.

    Args:
        key: the key; brought up to date.
        reason: why, in a few words, for those who look at it later. Secrets in it are hidden.
        by: who asks. None is trusted code.

    Returns:
        Whether it was live until now. Revoking again changes nothing.

    Raises:
        PermissionDenied: ``by`` may not do this.
    """
    if by is not None and not by.may_revoke(key):
        raise PermissionDenied(_("You may not revoke API keys."))
    # People write down here what they found, and where.
    reason = redacted(reason, 200)
    model = type(key)
    alias = router.db_for_write(model)
    changes: dict[str, Any] = {
        "revoked_at": timezone.now(),
        "revoked_by": by.user if by is not None else None,
        "revoked_reason": reason,
        "previous_digest": "",
        "previous_expires_at": None,
    }
    if isinstance(key, ApiKey):
        changes["live"] = None
    # Not by the model's own queryset, which would end what is cached of every key.
    still_live = model._base_manager.using(alias).filter(pk=key.pk, revoked_at__isnull=True)
    with transaction_for(alias):
        lock_users([key.user_id], by)
        revoked = bool(still_live.update(**changes))
        invalidate(model.cache_label(), [key.api_key], alias)
        if revoked:
            announce_revoked(key, reason, by)
    with suppress(model.DoesNotExist):  # deleted meanwhile, with its user
        key.refresh_from_db(using=alias)
    return revoked


@sensitive_variables()
def revoke_leaked(api_key: str, api_secret: str) -> bool:
    """End the key of a pair that works, whoever found it: holding it is proof enough.

    Args:
        api_key: which key; it is looked for in all ``SOURCES``.
        api_secret: its secret, or an older one in its grace.

    Returns:
        Whether a key was live until now. An unknown pair and a wrong secret change nothing.
    """
    revoked = False
    for label in dict.fromkeys(conf.SOURCES.values()):
        model: type[AbstractApiKey] = apps.get_model(label)
        alias = router.db_for_write(model)
        for key in model._base_manager.using(alias).filter(api_key=api_key):
            # Only a secret that works makes anyone wait for locks, and under them it still must.
            if _works(api_secret, key):
                with transaction_for(alias):
                    stored = lock_rows(model, [key], None).get(key.pk)
                    if stored is not None and _works(api_secret, stored):
                        revoked |= revoke(stored, reason=_("Reported as leaked."))
    return revoked


@sensitive_variables()
def _works(api_secret: str, key: AbstractApiKey) -> bool:
    in_grace = not policy.has_ended(key.previous_expires_at, timezone.now())
    older = key.previous_digest if in_grace else ""
    return any(crypto.matches_which(api_secret, key.secret_digest, older))
