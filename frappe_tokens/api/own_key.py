"""The credential of a request: what it may do, and how an API key rotates itself."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.db import router
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from ..base_models import AbstractApiKey
from ..keys import rotate_itself
from ..throttling import budget_of
from ..verification import AccessToken, Outcome, get_outcome
from . import serializers
from .errors import NoSuchKey
from .fields import StrictDateTimeField
from .keys import KeysView, validated, with_secret


class NoCredential(NotFound):
    """The caller uses a session."""

    default_code = "no_credential"
    default_detail = gettext_lazy(
        "This request has no credential, because you are signed in. Send an API key."
    )


class OwnKey(KeysView):
    """The presented API key, of any source, or access token. Open to all of them."""

    accepts_any_scope = True

    def get(self, request: Request) -> Response:
        key = _presented(request)
        if not isinstance(key, AbstractApiKey):
            token = cast("Outcome", get_outcome(request._request)).key
            return Response({**_described(token), "rate": self._rate(request)})
        # request.auth lacks the columns that authentication doesn't need.
        model = type(key)
        stored = model._base_manager.using(router.db_for_write(model)).select_related("user")
        row = stored.filter(pk=key.pk).first()
        if row is None:
            raise NoSuchKey
        described = serializers.ApiKeySerializer(row).data
        return Response({**described, "rate": self._rate(request)})

    def _rate(self, request: Request) -> dict[str, int | None] | None:
        """Return how many requests are left; None if they aren't limited. Counts nothing."""
        budget = budget_of(request, self)
        return None if budget is None else budget._asdict()


class RotateOwnKey(KeysView):
    """Generates a new secret for the presented API key, which may be scoped and read-only."""

    accepts_any_scope = True
    accepts_read_only = True
    serializer_class = serializers.ApiKeyRotationSerializer

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        key = _presented(request)
        if not isinstance(key, AbstractApiKey):
            raise PermissionDenied(_("An access token can't be rotated. Refresh it instead."))
        options = validated(self.get_serializer(data=request.data))
        return Response(with_secret(rotate_itself(key, **options)))


def _described(token: AccessToken) -> dict[str, object]:
    ends_at = token.expires_at
    moment = StrictDateTimeField()
    return {
        "user": token.auth.user.get_username(),
        "scopes": str(getattr(token.auth, "scope", "")).split(),
        "read_only": token.read_only,
        "expires_at": None if ends_at is None else moment.to_representation(ends_at),
    }


def _presented(request: Request) -> Any:
    """Return what authenticated ``request``. Raises NotFound if a session did."""
    if request.auth is None:
        raise NoCredential
    return request.auth
