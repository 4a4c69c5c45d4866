"""Permissions for DRF views."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission

from . import policy
from .exceptions import Reason
from .keys import Actor, credential_of
from .verification import opens

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class CanGenerateKeys(BasePermission):
    """Opens a view to users who may generate keys for others, by a request that may."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return Actor.of(request).may_generate


class HasScope(BasePermission):
    """Opens a view to requests whose credential holds all of the view's ``required_scopes``.

    These are a list, a string of words, or a dictionary of these by action or lower-case method.

    An API key without scopes and a session (no credential and no ``Authorization`` header) open
    every view. An API key with scopes and an OAuth 2 access token, which has
    ``allow_scopes(scopes)`` or a string of words in ``scope``, open views whose scopes they have,
    but no view that declares none. An anonymous user opens no view. Nor does any other credential,
    because its scopes can't be read. A subclass may override :meth:`holds`.

    It doesn't check who the user is. For that, add ``IsAuthenticated``.
    """

    message = {
        "detail": _("The scopes of this API key or access token don't open this view."),
        "code": Reason.INSUFFICIENT_SCOPE.code,
    }

    def has_permission(self, request: Request, view: APIView) -> bool:
        credential = credential_of(request)
        if credential is None:
            return bool(request.user and request.user.is_authenticated)
        return self.holds(credential, policy.required_scopes(view, request.method or ""))

    def holds(self, credential: object, required: Collection[str]) -> bool:
        """Return whether ``credential`` opens a view with the scopes ``required``, if any.

        Args:
            credential: ``request.auth``; another object if that is None and the request has an
                ``Authorization`` header. Never None.
            required: the view's scopes; empty if it declares none.
        """
        return opens(credential, required)
