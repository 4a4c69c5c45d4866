"""Who may do what with the ToDos: the permissions of the user that the key belongs to."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request

_VIEW = ["%(app_label)s.view_%(model_name)s"]
_ADD = ["%(app_label)s.add_%(model_name)s"]
_CHANGE = ["%(app_label)s.change_%(model_name)s"]
_DELETE = ["%(app_label)s.delete_%(model_name)s"]


class RolePermissions(DjangoModelPermissions):
    """Django's model permissions, those of the user's groups (their roles) included.

    By what a view does and not by its HTTP method, because Frappe's clients also read and delete
    by POST. What is not listed here is closed to everyone.
    """

    perms_map = {
        "list": _VIEW,
        "retrieve": _VIEW,
        "create": _ADD,
        "update": _CHANGE,
        "destroy": _DELETE,
        "get_list": _VIEW,
        "get_count": _VIEW,
        "get_value": _VIEW,
        "get_doc": _VIEW,
        "insert": _ADD,
        "set_value": _CHANGE,
        "delete_doc": _DELETE,
    }

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        if view.action not in self.perms_map:  # None, for a method that the view has not
            raise MethodNotAllowed(str(request.method))
        needed = self.get_required_permissions(view.action, self._queryset(view).model)
        self.message = f"{request.user.get_username()} lacks the permission {', '.join(needed)}."
        return bool(request.user.has_perms(needed))
