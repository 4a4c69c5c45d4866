"""Who uses the admin."""

from __future__ import annotations

from django.http import HttpRequest

from ..keys import Actor


def actor_of(request: HttpRequest) -> Actor:
    """Return who sent ``request``. The admin writes the history itself."""
    return Actor.of(request, history=False)
