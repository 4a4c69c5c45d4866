"""Writes the admin's history of users and keys, for changes made outside the admin too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db.models import Model

from ..db import in_batches
from .actors import Actor

# Entries per statement. Django uses fewer if the database limits the number of parameters.
BATCH_SIZE = 500


def record(by: Actor | None, notes: Iterable[tuple[Model | None, str]]) -> None:
    """Write entries, each about one object, with few statements.

    Args:
        by: who did it. None is trusted code, of which the history has no record.
        notes: the object and the text of each entry. Entries about None are left out.
    """
    if by is not None and by.history and apps.is_installed("django.contrib.admin"):
        write_history(by.user, notes)


def write_history(author: Any, notes: Iterable[tuple[Model | None, str]]) -> None:
    """Write entries as the user ``author``. The admin must be installed."""
    from django.contrib.admin.models import CHANGE, LogEntry
    from django.contrib.admin.options import get_content_type_for_model

    for batch in in_batches(notes, BATCH_SIZE):
        LogEntry.objects.bulk_create(
            LogEntry(
                user_id=author.pk,
                content_type_id=get_content_type_for_model(changed).pk,
                object_id=changed.pk,
                object_repr=str(changed)[:200],
                action_flag=CHANGE,
                change_message=text,
            )
            for changed, text in batch
            if changed is not None
        )
