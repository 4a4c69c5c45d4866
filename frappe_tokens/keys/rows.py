"""Keys' rows, held for as long as it takes to change them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.utils.translation import gettext as _

from ..actors import Actor
from ..batches import in_batches
from ..locking import LOCK_SIZE, lock_users
from ..models import ApiKey


@contextmanager
def locked(key: Any, by: Actor | None) -> Iterator[Any]:
    """The row of ``key`` as stored now, which nobody else changes until the end.

    Raises:
        ValidationError: it is gone, or revoked.
    """
    with transaction_for(router.db_for_write(type(key))):
        stored = lock_rows(type(key), [key], by).get(key.pk)
        if stored is None:
            raise ValidationError(_("This API key does not exist any more."), code="no_key")
        if stored.is_revoked:
            raise ValidationError(
                _("This API key was revoked, and that is final. Make a new key."),
                code="key_revoked",
            )
        yield stored


def lock_rows(model: Any, keys: Iterable[Any], by: Actor | None) -> dict[Any, Any]:
    """Lock the rows of ``keys``, all of ``model``, and their users before them.

    Call it within :func:`transaction_for`, at whose end they are let go.

    Returns:
        Those that exist, as stored now with their users, by primary key.
    """
    keys = list(keys)
    alias = router.db_for_write(model)
    users = lock_users([key.user_id for key in keys], by)
    rows: dict[Any, Any] = {}
    for some in in_batches([key.pk for key in keys], LOCK_SIZE):
        stored = model._base_manager.using(alias).filter(pk__in=some).order_by("pk")
        if connections[alias].features.has_select_for_update:
            stored = stored.select_for_update()
        for row in stored:
            if row.user_id in users:
                # As locked: what a plain read finds may be older than that.
                row.user = users[row.user_id]
            rows[row.pk] = row
    return rows


@contextmanager
def transaction_for(alias: str) -> Iterator[None]:
    """A transaction where a source's keys are, and where users are locked, as one."""
    with transaction.atomic(using=router.db_for_write(ApiKey)), transaction.atomic(using=alias):
        yield
