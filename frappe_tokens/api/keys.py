"""API keys as a REST resource.

:class:`frappe_tokens.keys.Actor` decides who may do what. Callers who may generate keys for others
see all keys. All others see their own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.db import DatabaseError, InterfaceError, router
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from .. import credentials
from ..db import statement_timeout
from ..exceptions import Refused
from ..keys import (
    Actor,
    GeneratedKeys,
    change_key,
    check_manager,
    create_key,
    generate_keys_for_source,
    revoke,
    revoke_leaked,
)
from ..logs import RateLimitedLogger
from ..models import ApiKey
from ..request_log import requests_of_key, usage_of
from ..rest_exceptions import AuthenticationRefused
from ..verification import RequestInfo, check_failures, count_failure
from . import serializers
from .envelope import StrictJSONParser
from .errors import Conflict, NoSuchKey, Unavailable, keys_exception_handler
from .filters import KeyFilter, find_visible_user
from .rpc import AppView

_log_error = RateLimitedLogger(logging.getLogger(__name__), "The request log can't be read.")

# No key contains other characters, for which some databases raise their own errors.
_PRINTABLE = re.compile(r"[!-~]+")


class KeyPagination(PageNumberPagination):
    """Fifty keys per page, or as many as ``?page_size=`` says."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


class KeysView(AppView, GenericAPIView[ApiKey]):
    """What these views share: JSON in and out, errors in DRF's form."""

    parser_classes = [StrictJSONParser]
    pagination_class = KeyPagination
    filter_backends = [KeyFilter]

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return keys_exception_handler

    @property
    def actor(self) -> Actor:
        return Actor.of(self.request)

    def get_queryset(self) -> QuerySet[ApiKey]:
        """Return the keys that the caller may see."""
        keys: QuerySet[ApiKey] = ApiKey._default_manager.select_related("user")
        keys = keys.order_by("-created_at", "-pk")
        return keys if self.actor.may_generate else keys.filter(user=self.request.user.pk)

    def get_object(self) -> ApiKey:
        """Return the key that the URL names."""
        keys = self.get_queryset()
        if self.request.method not in {"GET", "HEAD"}:
            keys = keys.using(router.db_for_write(ApiKey))  # a replica may lag behind
        api_key = self.kwargs["api_key"]
        if not _PRINTABLE.fullmatch(api_key):
            raise NoSuchKey
        key: ApiKey | None = keys.filter(api_key=api_key).first()
        if key is None:
            raise NoSuchKey
        return key

    @sensitive_variables()
    def validated(self, data: object, *, partial: bool = False) -> dict[str, Any]:
        """Return ``data`` as the view's serializer cleans it."""
        serializer = self.get_serializer(data=data, partial=partial)
        serializer.is_valid(raise_exception=True)
        cleaned: dict[str, Any] = serializer.validated_data
        return cleaned


class KeyList(KeysView):
    """The keys that the caller may see; POST creates one."""

    serializer_class = serializers.NewKeySerializer

    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(serializers.KeySerializer(page, many=True).data)

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        # First, so that the errors in a body tell nothing to a caller who can't create any key.
        check_manager(request.user, self.actor)
        options = self.validated(request.data)
        username = options.pop("user", str(request.user.get_username()))
        user = find_visible_user(username, self.actor)
        check_manager(user, self.actor)
        if user is None:
            message = _("There is no user with this name.")
            raise ValidationError({"user": [ErrorDetail(message, "no_user")]})
        generated = create_key(user, by=self.actor, **options)
        location = f"{request.path.rstrip('/')}/{generated.api_key}/"
        return _response_with_secret(generated, 201, {"Location": location})


class KeyDetail(KeysView):
    """One key. PATCH changes its name and policies; DELETE revokes it, which is final."""

    serializer_class = serializers.PoliciesSerializer

    def get(self, request: Request, api_key: str) -> Response:
        return Response(serializers.KeySerializer(self.get_object()).data)

    def patch(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        check_manager(key.user, self.actor)
        changes = self.validated(request.data, partial=True)
        if key.is_revoked:
            raise Conflict(_("This API key is revoked, which is final."), "key_revoked")
        if changes:
            change_key(key, by=self.actor, **changes)
        return Response(serializers.KeySerializer(key).data)

    def delete(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        query = {name: text for name, text in request.query_params.items() if name == "reason"}
        serializer = serializers.RevocationSerializer(data=request.data or query)
        serializer.is_valid(raise_exception=True)
        revoke(key, reason=serializer.validated_data.get("reason", ""), by=self.actor)
        return Response(status=204)


class RotateKey(KeysView):
    """A new secret for a key. The old one keeps working for ``grace`` seconds."""

    serializer_class = serializers.RotationSerializer

    @sensitive_variables()
    def post(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        check_manager(key.user, self.actor)
        grace = self.validated(request.data).get("grace")
        # By the row and not by its name: if the key is revoked meanwhile, no new one is made.
        return _response_with_secret(generate_keys_for_source(key, grace=grace, by=self.actor))


class KeyUsage(KeysView):
    """``GET keys/{api_key}/usage/?days=30``: requests per day by outcome."""

    serializer_class = serializers.UsageSerializer

    def get(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        params = self.validated(request.query_params.dict())
        requests = requests_of_key(key)
        try:
            with statement_timeout(requests.db):
                usage = usage_of(requests, params["days"], zone=params["time_zone"])
        except (DatabaseError, InterfaceError) as error:
            _log_error()
            message = _("The request log can't be read at the moment. Try again shortly.")
            raise Unavailable(message) from error
        return Response(
            {
                "api_key": key.api_key,
                "days": len(usage.days),
                "from": usage.days[0].date.isoformat(),
                "to": usage.days[-1].date.isoformat(),
                "time_zone": str(params["time_zone"]),
                "total": usage.total,
                "refused": usage.refused,
                "last_used_at": serializers.KeySerializer(key).data["last_used_at"],
                "usage": [
                    {
                        "date": day.date.isoformat(),
                        "total": day.total,
                        "outcomes": dict(sorted(day.outcomes.items())),
                    }
                    for day in usage.days
                ],
            }
        )


class RevokeLeaked(KeysView):
    """Revokes the key of a token that someone holds. The response doesn't say if there was one."""

    authentication_classes = []
    permission_classes = [AllowAny]
    serializer_class = serializers.LeakSerializer

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        token = self.validated(request.data)["token"]
        credential = credentials.parse(f"token {token}", "token")
        if credential is not None and credential.well_formed:
            address = RequestInfo(request).address()
            pair = credential.api_key, credential.api_secret
            try:
                check_failures(address, *pair)
                # Before counting: others may have reported wrong secrets for this key.
                revoke_leaked(*pair)
                # Valid tokens too: if only wrong ones counted, the count would tell them apart.
                count_failure(address, *pair)
            except Refused as refused:
                raise AuthenticationRefused(refused, "") from refused
        return Response(status=204)


def _response_with_secret(
    generated: GeneratedKeys, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    shown = serializers.KeySerializer(generated.instance).data
    return Response({**shown, "api_secret": generated.api_secret}, status, headers=headers)
