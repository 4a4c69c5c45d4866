"""API keys as a REST resource: list, make, look at, change, rotate, revoke.

:class:`frappe_tokens.keys.Actor` decides who may do what. Callers who may generate keys for others
see all keys. All others see their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.db import router
from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from rest_framework import status
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from .. import credentials
from ..exceptions import Refused
from ..keys import (
    Actor,
    GeneratedKeys,
    change_key,
    check_manager,
    create_key,
    find_user,
    generate_keys_for_source,
    outside_atomic_requests,
    revoke,
    revoke_leaked,
)
from ..models import ApiKey
from ..rest_exceptions import AuthenticationRefused
from ..verification import RequestInfo, check_failures, count_failure
from .bodies import MAX_BYTES, CheckedBodyMixin
from .envelope import FirstRenderer, StrictJSONParser
from .errors import Conflict, NoSuchKey, keys_exception_handler
from .filters import KeyFilter
from .rpc import IsKnown, RpcView
from .serializers import (
    KeySerializer,
    LeakSerializer,
    NewKeySerializer,
    PoliciesSerializer,
    RevocationSerializer,
    RotationSerializer,
)

# No key has other characters, and some databases raise errors of their own about those.
_PRINTABLE = re.compile(r"[!-~]+")


class KeyPagination(PageNumberPagination):
    """Fifty keys a page, or as many as ``?page_size=`` asks for."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


@method_decorator(outside_atomic_requests, name="dispatch")
@method_decorator(never_cache, name="dispatch")
class KeysView(CheckedBodyMixin, GenericAPIView[ApiKey]):
    """What all of them share: JSON in and out, whatever the project's own API does."""

    authentication_classes = RpcView.authentication_classes
    permission_classes = [IsKnown]
    throttle_classes = []
    versioning_class = None
    content_negotiation_class = FirstRenderer
    renderer_classes = [JSONRenderer]
    parser_classes = [StrictJSONParser]
    max_body_bytes = MAX_BYTES
    pagination_class = KeyPagination
    filter_backends = [KeyFilter]

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return keys_exception_handler

    @property
    def actor(self) -> Actor:
        return Actor.of(self.request)

    def get_queryset(self) -> QuerySet[ApiKey]:
        """The keys that the caller may see."""
        keys: QuerySet[ApiKey] = ApiKey._default_manager.select_related("user")
        keys = keys.order_by("-created_at", "-pk")
        return keys if self.actor.may_generate else keys.filter(user=self.request.user.pk)

    def get_object(self) -> ApiKey:
        """The key that the address names."""
        keys = self.get_queryset()
        if self.request.method not in {"GET", "HEAD"}:
            keys = keys.using(router.db_for_write(ApiKey))  # a replica may be behind
        api_key = self.kwargs["api_key"]
        if not _PRINTABLE.fullmatch(api_key):
            raise NoSuchKey
        key: ApiKey | None = keys.filter(api_key=api_key).first()
        if key is None:
            raise NoSuchKey
        return key

    @sensitive_variables()
    def validated(self, data: Any, **options: Any) -> dict[str, Any]:
        """``data`` as the view's serializer reads it."""
        serializer = self.get_serializer(data=data, **options)
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values


class KeyList(KeysView):
    """The keys that the caller may see; POST makes one."""

    serializer_class = NewKeySerializer

    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(KeySerializer(page, many=True).data)

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        # First, so that who may make no key at all learns nothing by what is said of a body.
        check_manager(request.user, self.actor)
        chosen = self.validated(request.data)
        user = self._user(chosen.pop("user", str(request.user.get_username())))
        generated = create_key(user, by=self.actor, **chosen)
        location = f"{request.path.rstrip('/')}/{generated.api_key}/"
        return _answer(generated, status.HTTP_201_CREATED, {"Location": location})

    def _user(self, username: str) -> Any:
        """The user of this name, as far as the caller may make keys for others."""
        if username == str(self.request.user.get_username()):
            return self.request.user
        # Not looked for where it must not be told, so that known and unknown are refused alike.
        user = find_user(username) if self.actor.may_generate else None
        check_manager(user, self.actor)
        if user is None:
            sentence = _("There is no user of this name.")
            raise ValidationError({"user": [ErrorDetail(sentence, "no_user")]})
        return user


class KeyDetail(KeysView):
    """One key. PATCH changes its name and its policies; DELETE revokes it, for good."""

    serializer_class = PoliciesSerializer

    def get(self, request: Request, api_key: str) -> Response:
        return Response(KeySerializer(self.get_object()).data)

    def patch(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        check_manager(key.user, self.actor)
        changes = self.validated(request.data, partial=True)
        if key.is_revoked:
            raise Conflict(_("This API key was revoked, which is final."), "key_revoked")
        if changes:
            change_key(key, by=self.actor, **changes)
        return Response(KeySerializer(key).data)

    def delete(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        asked = request.query_params
        body = request.data or ({"reason": asked["reason"]} if "reason" in asked else {})
        serializer = RevocationSerializer(data=body)
        serializer.is_valid(raise_exception=True)
        revoke(key, reason=serializer.validated_data.get("reason", ""), by=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RotateKey(KeysView):
    """A new secret for a key; the old one goes on working for ``grace`` seconds."""

    serializer_class = RotationSerializer

    @sensitive_variables()
    def post(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        check_manager(key.user, self.actor)
        grace = self.validated(request.data).get("grace")
        # By its row, and not by its name: where the key is revoked meanwhile, none is made.
        return _answer(generate_keys_for_source(key, grace=grace, by=self.actor))


class RevokeLeaked(KeysView):
    """Whoever holds a token can end its key. The answer does not tell whether there was one."""

    authentication_classes = []
    permission_classes = [AllowAny]
    serializer_class = LeakSerializer

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        token = self.validated(request.data)["token"]
        credential = credentials.parse(f"token {token}", "token")
        if credential is not None and credential.well_formed:
            address = RequestInfo(request).address()
            pair = credential.api_key, credential.api_secret
            try:
                check_failures(address, *pair)
                # Before it is counted: others may have reported wrong secrets for this key.
                revoke_leaked(*pair)
                # Right or wrong: were only the wrong counted, the count would tell which it was.
                count_failure(address, *pair)
            except Refused as refused:
                raise AuthenticationRefused(refused, "") from refused
        return Response(status=status.HTTP_204_NO_CONTENT)


def _answer(
    generated: GeneratedKeys,
    status_code: int = status.HTTP_200_OK,
    headers: dict[str, str] | None = None,
) -> Response:
    """The key with its secret: the only answers that have one."""
    key: Any = generated.instance
    shown = {**KeySerializer(key).data, "api_secret": generated.api_secret}
    return Response(shown, status_code, headers=headers)
