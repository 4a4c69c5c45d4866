"""The admin history of users and keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.http import HttpRequest

from ..batches import in_batches

# Entries a statement; Django makes it less where the database takes fewer parameters.
BATCH_SIZE = 500


def log_on(model_admin: ModelAdmin[Any], request: HttpRequest, note: str, *objects: Any) -> None:
    """Write ``note`` into the admin history of each of ``objects``."""
    for changed in objects:
        model_admin.log_change(request, changed, note)


def log_on_many(
    model_admin: ModelAdmin[Any], request: HttpRequest, notes: Iterable[tuple[Any, str]]
) -> None:
    """Write many notes, each about one object, with few statements."""
    if type(model_admin).log_change is not ModelAdmin.log_change:
        # The project wants to know of each.
        for changed, note in notes:
            model_admin.log_change(request, changed, note)
        return
    author: Any = request.user
    for batch in in_batches(notes, BATCH_SIZE):
        LogEntry.objects.bulk_create(
            LogEntry(
                user_id=author.pk,
                content_type_id=get_content_type_for_model(changed).pk,
                object_id=changed.pk,
                object_repr=str(changed)[:200],
                action_flag=CHANGE,
                change_message=note,
            )
            for changed, note in batch
        )
