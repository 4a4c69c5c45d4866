from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from .models import EventConsumer


class OnlyConsumersPost(BasePermission):
    """Users can view their events. Only an event consumer can post events, with its own key."""

    message = (
        "Only an event consumer may post events. Send its token and the header "
        "Frappe-Authorization-Source: EventConsumer."
    )

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS or isinstance(request.auth, EventConsumer)
