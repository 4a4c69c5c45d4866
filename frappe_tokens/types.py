"""Types for annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractUser

# An instance of the project's user model, which need not extend AbstractUser: what it may lack,
# such as permissions, is looked up with getattr().
User: TypeAlias = "AbstractUser"
