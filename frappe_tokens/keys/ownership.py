"""Changing whom a source's key runs as."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import router
from django.utils.translation import gettext as _

from .. import history
from ..actors import Actor, check_manager, check_reach, check_target
from ..base_models import AbstractApiKey
from ..locking import lock_users
from ..models import ApiKey
from .rows import locked, transaction_for


def change_user(key: AbstractApiKey, user: Any, *, by: Actor | None = None) -> None:
    """Let ``key``, whose secret stays, run as another user from the next request on.

    Args:
        key: a live row of another source than ``ApiKey``; brought up to date.
        user: whom it is to run as; None for nobody, where the source takes that.
        by: who asks. None is trusted code.

    Raises:
        PermissionDenied: ``by`` may not manage the keys of both users, the old and the new one, or
            the row reaches further than the key that the request of ``by`` came with.
        ValidationError: the key is revoked or deleted, or the user inactive, gone, or one who has
            a key already and may have one only.
        TypeError: the key is an ``ApiKey``, which stays with its user.
    """
    if isinstance(key, ApiKey):
        raise TypeError("A user's API key stays theirs. Generate one for the other user.")
    pk = getattr(user, "pk", None)
    with transaction_for(router.db_for_write(type(key))):
        users = lock_users([key.user_id, pk], by)
        with locked(key, by) as stored:
            check_manager(stored.user, by)
            check_reach(stored, by)
            if user is not None:
                user = users.get(pk)
                if user is None:
                    raise ValidationError(_("This user does not exist any more."), code="no_user")
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
            users_told = [told for told in (before, user) if told is not None]
            history.note(by, text, *users_told, stored)
    key.refresh_from_db(using=stored._state.db)
