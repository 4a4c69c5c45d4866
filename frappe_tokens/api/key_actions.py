"""Rotates, disables and enables a key, counts its requests, and revokes leaked keys."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from .. import credentials
from ..db import statement_timeout
from ..exceptions import Refused
from ..keys import check_manager, disable, enable, generate_keys_for_source, revoke_leaked
from ..logs import RateLimitedLogger
from ..request_log import requests_of_key, usage_of
from ..rest_exceptions import AuthenticationRefused
from ..verification import RequestInfo, check_failures, count_failure, secret_label
from . import serializers
from .errors import Unavailable
from .fields import hidden
from .keys import KeysView, validated, with_secret
from .signatures import check_signature

_log_error = RateLimitedLogger(logging.getLogger(__name__), "The request log can't be read.")

# About as many as fit into the largest body.
MAX_FINDINGS = 250


class RotateKey(KeysView):
    """Generates a new secret for a key. The old one keeps working for ``grace`` seconds."""

    serializer_class = serializers.ApiKeyRotationSerializer

    @sensitive_variables()
    def post(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        check_manager(key.user, self.actor)
        options = validated(self.get_serializer(data=request.data))
        # By the row, not by name: if the key is revoked meanwhile, no new one is created.
        return Response(with_secret(generate_keys_for_source(key, by=self.actor, **options)))


class ChangeKeyState(KeysView):
    """Changes whether a key works.

    Attributes:
        change: disables or enables a key.
    """

    serializer_class = serializers.StrictSerializer
    change: Callable[..., object]

    def post(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        validated(self.get_serializer(data=request.data))
        self.change(key, by=self.actor)
        return Response(serializers.ApiKeySerializer(key).data)


class DisableKey(ChangeKeyState):
    """Refuses a key until it is enabled again."""

    change = staticmethod(disable)


class EnableKey(ChangeKeyState):
    """Accepts a disabled key again, with its old secret."""

    change = staticmethod(enable)


class KeyUsage(KeysView):
    """``GET keys/{api_key}/usage/?days=30``: requests per day by outcome."""

    serializer_class = serializers.UsageSerializer

    def get(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        params = validated(self.get_serializer(data=request.query_params.dict()))
        requests = requests_of_key(key)
        try:
            with statement_timeout(requests.db):
                usage = usage_of(requests, params["days"], zone=params["time_zone"])
        except (DatabaseError, InterfaceError) as error:
            _log_error()
            raise Unavailable(_("The request log can't be read. Try again shortly.")) from error
        days = [
            {"date": day.date, "total": day.total, "outcomes": dict(sorted(day.outcomes.items()))}
            for day in usage.days
        ]
        return Response(
            {
                "api_key": key.api_key,
                "days": len(days),
                "from": days[0]["date"],
                "to": days[-1]["date"],
                "time_zone": str(params["time_zone"]),
                "total": usage.total,
                "refused": usage.refused,
                "last_used_at": serializers.ApiKeySerializer(key).data["last_used_at"],
                "usage": days,
            }
        )


class RevokeLeaked(KeysView):
    """Revokes the key of a token or a secret that someone found, or of many signed findings.

    Only the signer of findings learns from the response whether a key existed.
    """

    authentication_classes = []
    permission_classes = [AllowAny]
    serializer_class = serializers.LeakedTokenSerializer

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        # The body is read before the parser does: its bytes are signed.
        if request.body and isinstance(request.data, list):
            check_signature(request)
            findings = validated(
                serializers.FindingsSerializer(data=hidden(request.data), max_length=MAX_FINDINGS)
            )
            return Response([_revoke_found(finding) for finding in findings])
        token = validated(self.get_serializer(data=hidden(request.data)))["token"]
        api_key, api_secret = credentials.parse_found(token)
        if api_secret:
            address = RequestInfo(request).address()
            # A secret without its API key is counted by its keyed digest.
            counted = (api_key, api_secret) if api_key else (secret_label(api_secret), "")
            try:
                check_failures(address, *counted)
                # Before counting, because others may have reported wrong secrets for this key.
                revoke_leaked(api_key, api_secret)
                # Valid tokens count too. Otherwise, the count would reveal which ones are.
                count_failure(address, *counted)
            except Refused as refused:
                raise AuthenticationRefused(refused, "") from refused
        return Response(status=204)


@sensitive_variables()
def _revoke_found(finding: dict[str, str]) -> dict[str, str]:
    """Revoke the key of a finding. Return the feedback for GitHub, without the token."""
    token = finding["token"]
    api_key, api_secret = credentials.parse_found(token)
    is_real = bool(api_secret) and revoke_leaked(api_key, api_secret, url=finding["url"])
    return {
        "token_hash": hashlib.sha256(token.encode("utf-8", "backslashreplace")).hexdigest(),
        "token_type": finding["type"],
        "label": "true_positive" if is_real else "false_positive",
    }
