"""Permissions for DRF views."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

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
    """Opens a view to those who may make, rotate and revoke keys, in a request that may."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return Actor.of(request).may_generate


class HasScope(BasePermission):
    """Opens a view to requests whose credential holds all of the view's ``required_scopes``.

    These are a list, words in a string, or a dictionary of these by the action of a viewset or by
    the method in lower case.

    ================================  ==============================================================
    API key                           one without scopes opens every view; a scoped one those whose
                                      scopes it holds, and none that declares no scopes
    OAuth 2 access token              as a scoped key: what has ``allow_scopes(scopes)`` or the
                                      words in ``scope``, as django-oauth-toolkit's tokens do
    a session (no credential, and     has no scopes that would narrow it: opens every view
    no ``Authorization`` header)
    any other credential              opens none: nothing says how its scopes are to be read.
                                      A subclass that knows overrides :meth:`holds`
    nobody                            opens none
    ================================  ==============================================================

    It does not say who the user is or must be; ``IsAuthenticated`` does.
    """

    message = {
        "detail": _("The scopes of this API key or access token do not open this view."),
        "code": Reason.INSUFFICIENT_SCOPE.code,
    }

    def has_permission(self, request: Request, view: APIView) -> bool:
        credential = credential_of(request)
        if credential is None:
            user: Any = request.user
            return bool(user and user.is_authenticated)
        return self.holds(credential, policy.required_scopes(view, request.method or ""))

    def holds(self, credential: object, required: Collection[str]) -> bool:
        """Whether ``credential``, which authenticated the request, opens what needs ``required``.

        Args:
            credential: ``request.auth``; something else, and never None, where that is None and the
                request has an ``Authorization`` header.
            required: the view's scopes; empty where it declares none.
        """
        return opens(credential, required)
