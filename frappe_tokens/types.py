"""Types for annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractUser
    from django.http import HttpRequest
    from rest_framework.request import Request

# The project's user model need not extend AbstractUser: what it may lack, such as permissions, is
# read with getattr().
User: TypeAlias = "AbstractUser"

# Django's request, or the one that DRF wraps around it.
AnyRequest: TypeAlias = "HttpRequest | Request"
