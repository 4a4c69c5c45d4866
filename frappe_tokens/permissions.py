"""Permissions for DRF views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission

from .actors import Actor

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class CanGenerateKeys(BasePermission):
    """Opens a view to those who may make, rotate and revoke keys, in a request that may."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return Actor(request.user, request.auth).may_generate
