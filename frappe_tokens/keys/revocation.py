"""Revokes keys, which is final, and disables and enables them."""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import crypto, policy
from ..base_models import AbstractApiKey
from ..conf import conf
from ..lookup import invalidate
from ..models import ApiKey
from ..redaction import HIDDEN, redacted, redacted_url
from .actors import Actor, check_manager, check_reach
from .announcements import announce
from .locking import lock_rows, locked_key, refresh, transaction_for
from .mail import send_leaked
from .repeating import repeated


def revoke(key: AbstractApiKey, *, reason: str = "", by: Actor | None = None) -> bool:
    """Revoke ``key``, from the next request on. This is final. Its row stays, for the log.

    Args:
        key: the key. It's refreshed from the database.
        reason: why, in a few words. Secrets in it are hidden.
        by: who does it. None is trusted code.

    Returns:
        Whether it was still live. Revoking it again changes nothing.

    Raises:
        PermissionDenied: ``by`` may not do this.
    """
    if by is not None and not by.may_revoke(key):
        raise PermissionDenied(_("You don't have permission to revoke API keys."))
    # People paste leaked secrets.
    return _revoke(key, redacted(reason, 200), by)


@repeated
def _revoke(key: AbstractApiKey, reason: str, by: Actor | None, *, leaked: bool = False) -> bool:
    model = type(key)
    alias = router.db_for_write(model)
    changes: dict[str, object] = {
        "revoked_at": timezone.now(),
        "revoked_by_id": by.user.pk if by is not None else None,
        "revoked_reason": reason,
        "previous_digest": "",
        "previous_expires_at": None,
    }
    if isinstance(key, ApiKey):
        changes["live"] = None
    with transaction_for(alias):
        stored = lock_rows(model, [key], by).get(key.pk)
        # Also if it was revoked or deleted before, by SQL of which the cache knows nothing.
        invalidate(model.cache_label(), [key.api_key], alias)
        revoked = stored is not None and not stored.is_revoked
        if stored is not None and revoked:
            for name, value in changes.items():
                setattr(stored, name, value)
            # Not save(), which a project's own code may stop. The model's own queryset would
            # invalidate the whole cache.
            model._base_manager.filter(pk=stored.pk).update(**changes)
            announce("key_revoked", [(stored, {"reason": reason})], by, is_emailed=not leaked)
    refresh(key, alias)
    return revoked


@repeated
def disable(key: AbstractApiKey, *, by: Actor | None = None) -> bool:
    """Refuse ``key``, from the next request on, until it is enabled again.

    Args:
        key: the key. It's refreshed from the database.
        by: who does it. None is trusted code.

    Returns:
        Whether this changed anything: the key was enabled, or its user had disabled it and now
        can't enable it.

    Raises:
        PermissionDenied: ``by`` may not do this.
        ValidationError: the key is revoked or deleted.
    """
    if by is not None and not by.may_revoke(key):
        raise PermissionDenied(_("You don't have permission to disable API keys."))
    with locked_key(key, by) as stored:
        user = by.user if by is not None else None
        # The key's user can't undo what others disable.
        is_overruled = stored.disabled_by_id == stored.user_id and user != stored.user
        changed = not stored.is_disabled or is_overruled
        if changed:
            stored.disabled_at, stored.disabled_by = timezone.now(), user
            stored.save(update_fields=["disabled_at", "disabled_by"])
            announce("key_disabled", [(stored, {})], by)
    refresh(key, stored._state.db)
    return changed


@repeated
def enable(key: AbstractApiKey, *, by: Actor | None = None) -> bool:
    """Accept a disabled ``key`` again, with its old secret.

    Args:
        key: the key. It's refreshed from the database.
        by: who does it. None is trusted code.

    Returns:
        Whether it was disabled.

    Raises:
        PermissionDenied: ``by`` may not do this; or someone else disabled the key, and ``by`` has
            no permission to manage it; or the key allows more than the one that authenticated
            their request.
        ValidationError: the key is revoked or deleted.
    """
    with locked_key(key, by) as stored:
        check_manager(stored.user, by)
        check_reach(stored, by)
        # By SELF_SERVICE, users only enable what they disabled themselves.
        may = by is None or stored.disabled_by_id == by.user.pk or by.may_manage(stored.user)
        if stored.is_disabled and not may:
            raise PermissionDenied(
                _("You can't enable a key that someone else disabled. Ask an administrator.")
            )
        changed = stored.is_disabled
        if changed:
            stored.disabled_at = stored.disabled_by = None
            stored.save(update_fields=["disabled_at", "disabled_by"])
            announce("key_enabled", [(stored, {})], by)
    refresh(key, stored._state.db)
    return changed


@repeated
@sensitive_variables()
def revoke_leaked(api_key: str, api_secret: str, *, url: str = "") -> bool:
    """Revoke the key of a secret that someone found, and email the key's user.

    Args:
        api_key: the API key, in any of ``SOURCES``. It's ignored if the secret has a valid
            checksum.
        api_secret: its secret, or a replaced one in its grace period.
        url: where it was found, for the email. Secrets in it are hidden.

    Returns:
        Whether it was the secret of a key, which may have been revoked before.
    """
    found = Q(api_key=api_key)
    # Shorter secrets could be guessed, for all keys at once.
    if crypto.has_valid_checksum(api_secret):
        digests = crypto.possible_digests(api_secret)
        found = Q(secret_digest__in=digests) | Q(previous_digest__in=digests)
    known = False
    for label in dict.fromkeys(conf.SOURCES.values()):
        model: type[AbstractApiKey] = apps.get_model(label)
        alias = router.db_for_write(model)
        for key in model._base_manager.using(alias).filter(found):
            # Lock only for a correct secret, then check again.
            if _works(api_secret, key):
                with transaction_for(alias):
                    stored = lock_rows(model, [key], None).get(key.pk)
                    if stored is not None and _works(api_secret, stored):
                        known, user = True, stored.user
                        if _revoke(stored, _("Reported as leaked."), None, leaked=True):
                            stored.user = user  # a replica may not have them yet
                            send_leaked(stored, redacted_url(url.replace(api_secret, HIDDEN)))
    return known


@sensitive_variables()
def _works(api_secret: str, key: AbstractApiKey) -> bool:
    in_grace = not policy.has_ended(key.previous_expires_at, timezone.now())
    older = key.previous_digest if in_grace else ""
    return any(crypto.matches_which(api_secret, key.secret_digest, older))
