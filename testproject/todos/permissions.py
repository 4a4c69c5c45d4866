"""Checks the permissions of the key's user for ToDos."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request


class RolePermissions(DjangoModelPermissions):
    """Django's model permissions, including those of the user's groups (their roles).

    They depend on the view's action, not on the HTTP method, because Frappe's clients also read and
    delete by POST. Other actions aren't allowed.
    """

    perms_map = {
        action: [f"%(app_label)s.{verb}_%(model_name)s"]
        for verb, actions in {
            "view": (
                *("list", "retrieve", "meta", "count"),
                *("get_list", "get_count", "get_value", "get_doc"),
            ),
            "add": ("create", "insert"),
            "change": ("update", "set_value"),
            "delete": ("destroy", "delete_doc"),
        }.items()
        for action in actions
    }

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        if view.action not in self.perms_map:  # None for other HTTP methods
            raise MethodNotAllowed(str(request.method))
        needed = self.get_required_permissions(view.action, self._queryset(view).model)
        self.message = f"{request.user.get_username()} lacks the permission {', '.join(needed)}."
        return bool(request.user.has_perms(needed))
