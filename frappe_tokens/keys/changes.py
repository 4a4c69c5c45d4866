"""Changing what a key may do."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from .. import history
from ..actors import Actor, check_manager, check_widening
from ..base_models import AbstractApiKey
from ..validation import clean_changes
from .rows import locked


def change_key(key: AbstractApiKey, *, by: Actor | None = None, **changes: Any) -> None:
    """Change what a key may do, and its name.

    Args:
        key: a live key; brought up to date.
        by: who asks. None is trusted code.
        changes: ``scopes``, ``read_only``, ``allowed_ips``, ``rate_limit``, ``expires_at`` (None:
            ``DEFAULT_LIFETIME`` from now), and the ``name`` of a source that has one.

    Raises:
        PermissionDenied: ``by`` may not do this, or serves themselves and would widen the key, or
            would widen it beyond the key that their request came with.
        ValidationError: the key is revoked or deleted, the name is taken, or a value is not usable.
    """
    with locked(key, by) as stored:
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
        names = ", ".join(str(stored._meta.get_field(name).verbose_name) for name in changes)
        text = _("Changed %(fields)s of API key %(api_key)s.")
        users = [] if stored.user is None else [stored.user]
        history.note(by, text % {"fields": names, "api_key": key.api_key}, *users, stored)
    key.refresh_from_db(using=stored._state.db)
