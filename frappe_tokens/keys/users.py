"""Finding the users whose keys are managed."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError


def find_user(username: str) -> Any:
    """Return the user of this name; None if there is none, whatever the text contains."""
    users = get_user_model()
    try:
        # No user has such a name, but drivers and encoders have their own errors for it: PostgreSQL
        # for a NUL, all of them for half a surrogate pair.
        username.encode()
        if "\0" in username:
            return None
        return users._default_manager.get_by_natural_key(username)
    except (users.DoesNotExist, users.MultipleObjectsReturned):
        return None
    except (TypeError, ValueError, ValidationError):
        # The names are numbers or UUIDs, and this isn't one.
        return None
