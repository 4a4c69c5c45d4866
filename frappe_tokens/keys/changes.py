"""Changes and revokes keys."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.apps import apps
from django.core.exceptions import PermissionDenied, ValidationError
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
from .actors import Actor, check_manager, check_reach, check_target, check_widening
from .announcements import announce_revoked, record_history
from .locking import lock_rows, lock_users, locked_key, transaction_for
from .options import clean_changes


def change_key(key: AbstractApiKey, *, by: Actor | None = None, **changes: object) -> None:
    """Change what a key may do, and its name.

    Args:
        key: the key. It's refreshed from the database.
        by: who does it. None is trusted code.
        changes: ``scopes``, ``read_only``, ``allowed_ips``, ``rate_limit``, ``expires_at`` (None:
            ``DEFAULT_LIFETIME`` from now), and the ``name`` if the source has one.

    Raises:
        PermissionDenied: ``by`` may not do this, or would widen their own key without the
            permission, or would widen a key beyond the one that authenticated their request.
        ValidationError: the key is revoked or deleted, the name is taken, or a value is invalid.
    """
    with locked_key(key, by) as stored:
        check_manager(stored.user, by)
        before = stored.policies
        for name, value in clean_changes(changes).items():
            setattr(stored, name, value)
        check_widening(before, stored, by)
        if not changes:
            return
        if "name" in changes:
            stored.validate_constraints(exclude={"api_key"})
        stored.save(update_fields=[*changes])
        labels = {field.name: str(field.verbose_name) for field in stored._meta.fields}
        names = ", ".join(labels[name] for name in changes)
        text = _("Changed %(fields)s of API key %(api_key)s.")
        text = text % {"fields": names, "api_key": key.api_key}
        record_history(by, [(stored.user, text), (stored, text)])
    key.refresh_from_db(using=stored._state.db)


def change_user(key: AbstractApiKey, user: Any, *, by: Actor | None = None) -> None:
    """Have ``key`` run as another user from the next request on. Its secret stays the same.

    Args:
        key: a row of a source other than ``ApiKey``. It's refreshed from the database.
        user: the new user; None for nobody, if the source allows that.
        by: who does it. None is trusted code.

    Raises:
        PermissionDenied: ``by`` may not manage the keys of both users, the old and the new one, or
            the row allows more than the key that authenticated their request.
        ValidationError: the key is revoked or deleted, or the user is inactive, deleted, or already
            has a key and may have only one.
        TypeError: the key is an ``ApiKey``, which stays with its user.
    """
    if isinstance(key, ApiKey):
        raise TypeError("An ApiKey can't change its user. Generate one for the other user.")
    pk = getattr(user, "pk", None)
    with transaction_for(router.db_for_write(type(key))):
        locked = lock_users([key.user_id, pk], by)
        with locked_key(key, by) as stored:
            check_manager(stored.user, by)
            check_reach(stored, by)
            if user is not None:
                user = locked.get(pk)
                if user is None:
                    raise ValidationError(_("This user no longer exists."), code="no_user")
                check_target(user, by)
            elif not stored._meta.get_field("user").null:
                raise ValidationError(
                    _("Choose the user that the key runs as first."), code="no_user"
                )
            before, stored.user = stored.user, user
            stored.validate_unique({"api_key"})
            stored.validate_constraints({"api_key"})
            stored.save(update_fields=["user"])
            text = _("Changed the user of API key %(api_key)s.") % {"api_key": key.api_key}
            record_history(by, [(changed, text) for changed in (before, user, stored)])
    key.refresh_from_db(using=stored._state.db)


def revoke(key: AbstractApiKey, *, reason: str = "", by: Actor | None = None) -> bool:
    """End ``key`` for good, from the next request on. Its row stays, for the log.

    Args:
        key: the key. It's refreshed from the database.
        reason: why, in a few words. Secrets in it are hidden.
        by: who does it. None is trusted code.

    Returns:
        Whether it was still live. Revoking again changes nothing.

    Raises:
        PermissionDenied: ``by`` may not do this.
    """
    if by is not None and not by.may_revoke(key):
        raise PermissionDenied(_("You don't have permission to revoke API keys."))
    # People paste what leaked.
    reason = redacted(reason, 200)
    model = type(key)
    alias = router.db_for_write(model)
    changes: dict[str, object] = {
        "revoked_at": timezone.now(),
        "revoked_by": by.user if by is not None else None,
        "revoked_reason": reason,
        "previous_digest": "",
        "previous_expires_at": None,
    }
    if isinstance(key, ApiKey):
        changes["live"] = None
    # The model's own queryset would invalidate the whole cache.
    still_live = model._base_manager.using(alias).filter(pk=key.pk, revoked_at__isnull=True)
    with transaction_for(alias):
        lock_users([key.user_id], by)
        revoked = bool(still_live.update(**changes))
        invalidate(model.cache_label(), [key.api_key], alias)
        if revoked:
            announce_revoked(key, reason, by)
    with suppress(model.DoesNotExist):  # deleted in the meantime, with its user
        key.refresh_from_db(using=alias)
    return revoked


@sensitive_variables()
def revoke_leaked(api_key: str, api_secret: str) -> bool:
    """Revoke the key of a working token for anyone who has found it.

    Args:
        api_key: the API key, in any of ``SOURCES``.
        api_secret: its secret, or a replaced one in its grace period.

    Returns:
        Whether a key was still live. An unknown key and a wrong secret change nothing.
    """
    revoked = False
    for label in dict.fromkeys(conf.SOURCES.values()):
        model: type[AbstractApiKey] = apps.get_model(label)
        alias = router.db_for_write(model)
        for key in model._base_manager.using(alias).filter(api_key=api_key):
            # Lock only for a working secret, and check again whether it still works.
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
