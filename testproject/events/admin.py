from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from frappe_tokens.admin import ApiKeySourceMixin

from .models import Event, EventConsumer


# The stubs make ModelAdmin generic; at run time, subscripting it is a TypeError.
@admin.register(EventConsumer)
class EventConsumerAdmin(ApiKeySourceMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    fields = ["name", "user"]
    list_display = ["name", "user"]
    list_select_related = ["user"]
    search_fields = ["name", "api_key"]
    autocomplete_fields = ["user"]


# Not generic, for the same reason.
@admin.register(Event)
class EventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Events can only be viewed. Consumers create them through the API."""

    list_display = ["kind", "consumer", "user", "created"]
    list_filter = ["kind", "consumer"]
    list_select_related = ["consumer", "user"]
    date_hierarchy = "created"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
