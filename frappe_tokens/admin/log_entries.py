"""The admin history of users and keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest

from ..keys import Actor, write_history


def actor_of(request: HttpRequest) -> Actor:
    """Return who sent ``request``. The admin writes the history itself."""
    return Actor.of(request, history=False)


def log_on(model_admin: ModelAdmin[Any], request: HttpRequest, note: str, *objects: Any) -> None:
    """Write ``note`` into the history of each of ``objects``."""
    for changed in objects:
        model_admin.log_change(request, changed, note)


def log_on_many(
    model_admin: ModelAdmin[Any], request: HttpRequest, notes: Iterable[tuple[Any, str]]
) -> None:
    """Write many entries, each about one object, with few statements."""
    if type(model_admin).log_change is not ModelAdmin.log_change:
        # The project overrides it, and expects a call for each object.
        for changed, note in notes:
            model_admin.log_change(request, changed, note)
        return
    write_history(request.user, notes)
