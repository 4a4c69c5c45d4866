"""Single keys: rotates, disables and enables them, counts requests, revokes leaked ones."""

from __future__ import annotations

import logging

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
from ..verification import RequestInfo, check_failures, count_failure
from . import serializers
from .errors import Unavailable
from .keys import KeysView, validated, with_secret

_log_error = RateLimitedLogger(logging.getLogger(__name__), "The request log can't be read.")


class RotateKey(KeysView):
    """A new secret for a key. The old one keeps working for ``grace`` seconds."""

    serializer_class = serializers.ApiKeyRotationSerializer

    @sensitive_variables()
    def post(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        check_manager(key.user, self.actor)
        options = validated(self.get_serializer(data=request.data))
        # By the row and not by its name: if the key is revoked meanwhile, no new one is made.
        return Response(with_secret(generate_keys_for_source(key, by=self.actor, **options)))


class DisableKey(KeysView):
    """Has a key refused until it is enabled again."""

    serializer_class = serializers.StrictSerializer
    change = staticmethod(disable)

    def post(self, request: Request, api_key: str) -> Response:
        key = self.get_object()
        validated(self.get_serializer(data=request.data))
        self.change(key, by=self.actor)
        return Response(serializers.ApiKeySerializer(key).data)


class EnableKey(DisableKey):
    """Has a disabled key accepted again, with the secret that it had."""

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
    """Revokes the key of a token that someone holds. The response doesn't say if there was one."""

    authentication_classes = []
    permission_classes = [AllowAny]
    serializer_class = serializers.LeakedTokenSerializer

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        token = validated(self.get_serializer(data=request.data))["token"]
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
