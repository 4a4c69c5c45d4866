"""Changes what keys may do, and the user that they run as."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext as _

from ..base_models import POLICIES, AbstractApiKey
from ..models import ApiKey
from .actors import Actor, check_manager, check_reach, check_target, check_widening
from .announcements import record_history
from .locking import lock_users, locked_key, refresh, transaction_for
from .options import clean_changes, set_value
from .repeating import repeated


@repeated
def change_key(key: AbstractApiKey, *, by: Actor | None = None, **changes: object) -> None:
    """Change what a key may do, and its name.

    Args:
        key: the key. It's refreshed from the database.
        by: who does it. None is trusted code.
        changes: ``scopes``, ``read_only``, ``allowed_ips``, ``rate_limit``, ``self_rotate``,
            ``expires_at`` (None: ``DEFAULT_LIFETIME`` from now), and the ``name``, ``description``
            and ``metadata`` if the source has them.

    Raises:
        PermissionDenied: ``by`` may not do this, or would widen their own key without the
            permission, or would widen a key beyond the one that authenticated their request.
        ValidationError: the key is revoked or deleted, the name is taken, or a value is invalid.
    """
    with locked_key(key, by) as stored:
        check_manager(stored.user, by)
        before = stored.policies
        for name, value in clean_changes(changes, stored.scopes).items():
            set_value(stored, name, value, timezone.now())
        check_widening(before, stored, by)
        if not changes:
            return
        if "name" in changes:
            stored.validate_constraints()
        # With a new expiry, the lifetime is a new one, too.
        stored.save(update_fields=[*changes, "lifetime"])
        labels = {field.name: str(field.verbose_name) for field in stored._meta.fields}
        names = ", ".join(labels[name] for name in changes)
        text = _("Changed %(fields)s of API key %(api_key)s.")
        text = text % {"fields": names, "api_key": key.api_key}
        record_history(by, [(stored.user, text), (stored, text)])
    refresh(key, stored._state.db)


@repeated
def change_user(key: AbstractApiKey, user: Any, *, by: Actor | None = None) -> None:
    """Let ``key`` run as another user, from the next request on. Its secret stays the same.

    Args:
        key: a row of a source other than ``ApiKey``. It's refreshed from the database.
        user: the new user; None for no user, if the source allows that.
        by: who does it. None is trusted code.

    Raises:
        PermissionDenied: ``by`` may not manage the keys of both the old and the new user, or the
            row allows more than the key that authenticated their request, or than a key that they
            may generate for the new user.
        ValidationError: the key is revoked or deleted, or the user is inactive or deleted, or
            already has a key and may have only one.
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
                    _("First choose the user that the key runs as."), code="no_user"
                )
            before, stored.user = stored.user, user
            check_as_new(stored, by)
            stored.validate_unique()
            stored.validate_constraints()
            stored.save(update_fields=["user"])
            text = _("Changed the user of API key %(api_key)s.") % {"api_key": key.api_key}
            record_history(by, [(changed, text) for changed in (before, user, stored)])
    refresh(key, stored._state.db)


def check_as_new(key: AbstractApiKey, by: Actor | None) -> None:
    """Raise PermissionDenied if ``by`` may not generate a key for this user that allows as much."""
    usual = {
        field.name: field.get_default() for field in key._meta.fields if field.name in POLICIES
    }
    # By default, a key doesn't expire, so any expiry is allowed. MAX_LIFETIME limits it.
    check_widening(usual, key, by)
