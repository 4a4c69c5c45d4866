"""Describes the DocType ToDo, from which clients choose columns and know what a ToDo needs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from rest_framework import serializers

from .models import ToDo
from .serializers import ToDoSerializer

IN_LIST_VIEW = {"status", "priority"}  # beside the title

_RIGHTS = {
    "view_todo": "read",
    "change_todo": "write",
    "add_todo": "create",
    "delete_todo": "delete",
}


def describe_doctype() -> dict[str, Any]:
    """Return what clients read of Frappe's ``meta``, in which 1 is true.

    As in Frappe, the fields of every document, such as ``name`` and ``owner``, aren't listed.
    """
    return {
        "doctype": "DocType",
        "name": "ToDo",
        "module": ToDo._meta.app_config.verbose_name,
        "autoname": "hash",
        "issingle": 0,
        "istable": 0,
        "is_submittable": 0,
        "title_field": "description",
        "sort_field": "modified",
        "sort_order": "DESC",
        "fields": [
            _field(field) for field in ToDoSerializer().fields.values() if not field.read_only
        ],
        "permissions": _permissions(),
    }


def _field(field: serializers.Field[Any, Any, Any, Any]) -> dict[str, Any]:
    described = {
        "fieldname": field.field_name,
        "label": field.label,
        "fieldtype": "Date" if isinstance(field, serializers.DateField) else "Text",
        "reqd": int(field.required),
        "in_list_view": int(field.field_name in IN_LIST_VIEW),
    }
    if isinstance(field, serializers.ChoiceField):
        described |= {"fieldtype": "Select", "options": "\n".join(field.choices)}
    return described


def _permissions() -> list[dict[str, Any]]:
    """Return a row for each group, as for a role in Frappe, with what it may do."""
    granted = Permission.objects.filter(
        content_type__app_label="todos", codename__in=_RIGHTS, group__isnull=False
    )
    rows: dict[str, dict[str, Any]] = {}
    for role, codename in granted.order_by("group__name").values_list("group__name", "codename"):
        rows.setdefault(role, {"role": role, "permlevel": 0})[_RIGHTS[codename]] = 1
    return list(rows.values())
