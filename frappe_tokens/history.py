"""The admin's history of users and keys, whichever way something was done to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps

from .actors import Actor
from .batches import in_batches

# Entries a statement; Django makes it less where the database takes fewer parameters.
BATCH_SIZE = 500


def note(by: Actor | None, text: str, *objects: Any) -> None:
    """Write ``text`` into the history of each of ``objects``."""
    note_many(by, ((changed, text) for changed in objects))


def note_many(by: Actor | None, notes: Iterable[tuple[Any, str]]) -> None:
    """Write many notes, each about one object, with few statements.

    Args:
        by: who did it. None is trusted code, which the history has no name for.
        notes: the object and the text.
    """
    if by is not None and by.history and apps.is_installed("django.contrib.admin"):
        write_entries(by.user, notes)


def write_entries(author: Any, notes: Iterable[tuple[Any, str]]) -> None:
    """The same where the admin is installed, for a user."""
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
        )
