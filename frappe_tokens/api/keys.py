"""API keys as a REST resource. Callers see their own keys, and those that they may manage."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import router
from django.utils.encoding import escape_uri_path
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from ..base_models import KeyState
from ..db import with_json_text
from ..keys import (
    Actor,
    GeneratedKeys,
    change_key,
    check_manager,
    clean_metadata,
    create_key,
    find_visible_user,
    revoke,
)
from ..models import ApiKey
from . import serializers
from .errors import Conflict, NoSuchKey, keys_exception_handler
from .rpc import AppView

# Databases raise their own errors for other characters, which no key has.
_PRINTABLE = re.compile(r"[!-~]+")


class KeyPagination(PageNumberPagination):
    """Fifty keys per page, or as many as ``?page_size=`` says."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


class KeyFilter(BaseFilterBackend):
    """Filters by ``user``, ``name`` ("": unnamed), ``metadata.<name>`` and ``FilterSerializer``."""

    def filter_queryset(self, request: Request, queryset: Any, view: APIView) -> Any:
        params = request.query_params.dict()
        if "user" in params:
            user = find_visible_user(params["user"], Actor.of(request))
            queryset = queryset.filter(user=user.pk) if user is not None else queryset.none()
        if "name" in params:
            name = params["name"]
            # No key has any other name, and PostgreSQL raises its own error for a NUL.
            queryset = queryset.filter(name=name) if name.isprintable() else queryset.none()
        # Forms also send empty fields.
        given = {name: value for name, value in params.items() if value or name == "state"}
        queryset = _with_metadata(queryset, params)
        lookups = validated(serializers.FilterSerializer(data=given))
        if state := lookups.pop("state", None):
            queryset = queryset.filter(KeyState(state).condition())
        return queryset.filter(**lookups)


class KeysView(AppView, GenericAPIView[ApiKey]):
    """The base of these views."""

    pagination_class = KeyPagination
    filter_backends = [KeyFilter]

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return keys_exception_handler

    @property
    def actor(self) -> Actor:
        return Actor.of(self.request)

    def get_queryset(self) -> Any:
        """Return the keys that the list shows to the caller."""
        return self.actor.visible(self._all())

    def _all(self) -> Any:
        return ApiKey._default_manager.select_related("user").order_by("-created_at", "-pk")

    def get_object(self) -> Any:
        keys = self._all()
        if self.request.method not in {"GET", "HEAD"}:
            keys = keys.using(router.db_for_write(ApiKey))  # a replica may lag behind
        api_key = self.kwargs["api_key"]
        key = keys.filter(api_key=api_key).first() if _PRINTABLE.fullmatch(api_key) else None
        if key is None or not self.actor.may_see(key):
            raise NoSuchKey
        return key


class KeyList(KeysView):
    """The keys that the caller may see; POST creates one."""

    serializer_class = serializers.NewApiKeySerializer

    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(serializers.ApiKeySerializer(page, many=True).data)

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        # First, so that a caller who can't create keys learns nothing from errors in the body.
        if not (self.actor.may_lead and self._is_for_led_user(request.data)):
            check_manager(request.user, self.actor)
        options = validated(self.get_serializer(data=request.data))
        username = options.pop("user", str(request.user.get_username()))
        user = find_visible_user(username, self.actor)
        check_manager(user, self.actor)
        if user is None:
            raise ValidationError({"user": [_("There is no user with this name.")]})
        generated = create_key(user, by=self.actor, **options)
        location = escape_uri_path(f"{request.path.rstrip('/')}/{generated.api_key}/")
        return Response(with_secret(generated), 201, headers={"Location": location})

    def _is_for_led_user(self, data: object) -> bool:
        username = data.get("user") if isinstance(data, Mapping) else None
        user = find_visible_user(username, self.actor) if isinstance(username, str) else None
        return user is not None and self.actor.may_manage(user)


class KeyDetail(KeysView):
    """One key. PATCH changes its name and policies; DELETE revokes it, which is final."""

    serializer_class = serializers.ApiKeyPoliciesSerializer

    def get(self, request: Request, api_key: str) -> Response:
        return Response(serializers.ApiKeySerializer(self.get_object()).data)

    def patch(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        check_manager(key.user, self.actor)
        changes = validated(self.get_serializer(key, data=request.data, partial=True))
        if key.is_revoked:
            raise Conflict(_("This API key is revoked, which is final."), "key_revoked")
        if changes:
            change_key(key, by=self.actor, **changes)
        return Response(serializers.ApiKeySerializer(key).data)

    def delete(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        query = {name: text for name, text in request.query_params.items() if name == "reason"}
        options = validated(serializers.RevocationSerializer(data=request.data or query))
        revoke(key, by=self.actor, **options)
        return Response(status=204)


@sensitive_variables()
def validated(serializer: BaseSerializer[Any]) -> Any:
    """Return the cleaned data. Raises DRF's ValidationError."""
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


@sensitive_variables()
def with_secret(generated: GeneratedKeys) -> dict[str, object]:
    """Return the body of a response that shows a new secret."""
    key = serializers.ApiKeySerializer(generated.instance).data
    return {**key, "api_secret": generated.api_secret}


def _with_metadata(keys: Any, params: Mapping[str, str]) -> Any:
    """Filter ``keys`` by the parameters ``metadata.<name>``, whose values are strings."""
    prefix = "metadata."
    texts = {
        name.removeprefix(prefix): text for name, text in params.items() if name.startswith(prefix)
    }
    try:
        clean_metadata(texts)
    except DjangoValidationError as error:
        sentence = _("Filter by metadata.<name>=<text>, for example ?metadata.team=ops.")
        raise ValidationError({"metadata": [sentence, *error.messages]}) from error
    for name, text in texts.items():
        keys = with_json_text(keys, "metadata", name, text)
    return keys
