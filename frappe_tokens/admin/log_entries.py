"""The admin history of users and keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import Model
from django.http import HttpRequest

from ..keys import Actor, write_history


def actor_of(request: HttpRequest) -> Actor:
    """Return who sent ``request``. The admin writes the history itself."""
    return Actor.of(request, history=False)


def log_on_many(
    model_admin: ModelAdmin[Any], request: HttpRequest, notes: Iterable[tuple[Model, str]]
) -> None:
    """Write many entries, each about one object, with few statements."""
    if type(model_admin).log_change is ModelAdmin.log_change:
        write_history(request.user, notes)
        return
    # The project overrides it, and expects a call for each object.
    for changed, text in notes:
        model_admin.log_change(request, changed, text)
