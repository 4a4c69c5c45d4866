"""A key's row, held for as long as it takes to change it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.utils.translation import gettext as _

from ..actors import Actor
from ..locking import lock_users
from ..models import ApiKey


@contextmanager
def locked(key: Any, by: Actor | None) -> Iterator[Any]:
    """The row of ``key`` as stored now, which nobody else changes until the end.

    Raises:
        ValidationError: it is gone, or revoked.
    """
    alias = router.db_for_write(type(key))
    with transaction_for(alias):
        lock_users([key.user_id], by)
        rows = type(key)._base_manager.using(alias).filter(pk=key.pk)
        if connections[alias].features.has_select_for_update:
            rows = rows.select_for_update()
        stored = rows.first()
        if stored is None:
            raise ValidationError(_("This API key does not exist any more."), code="no_key")
        if stored.is_revoked:
            raise ValidationError(
                _("This API key was revoked, and that is final. Make a new key."),
                code="key_revoked",
            )
        yield stored


@contextmanager
def transaction_for(alias: str) -> Iterator[None]:
    """A transaction where a source's keys are, and where users are locked, as one."""
    with transaction.atomic(using=router.db_for_write(ApiKey)), transaction.atomic(using=alias):
        yield
