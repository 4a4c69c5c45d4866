from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from .models import ToDo


# The stubs make ModelAdmin generic; at run time, subscripting it is a TypeError.
@admin.register(ToDo)
class ToDoAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["description", "status", "priority", "date", "owner", "modified"]
    list_filter = ["status", "priority"]
    list_select_related = ["owner"]
    search_fields = ["name", "description"]
    readonly_fields = ["name", "owner", "creation", "modified"]

    def save_model(self, request: HttpRequest, obj: ToDo, form: Any, change: bool) -> None:
        if not change:
            user: Any = request.user  # never anonymous in the admin
            obj.owner = user
        super().save_model(request, obj, form, change)
