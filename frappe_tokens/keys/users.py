"""Finds the users whose keys are managed."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from ..types import User


def find_user(username: str) -> User | None:
    """Return the user of this name; None if there is none, whatever the text contains."""
    users = get_user_model()
    try:
        # Drivers raise their own errors for these: PostgreSQL for NULs, all for lone surrogates.
        username.encode()
        if "\0" in username:
            return None
        user: User = users._default_manager.get_by_natural_key(username)
        return user
    except (users.DoesNotExist, users.MultipleObjectsReturned):
        return None
    except (TypeError, ValueError, ValidationError):
        # The names are numbers or UUIDs, and this isn't one.
        return None
