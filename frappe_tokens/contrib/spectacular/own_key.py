"""Describes the calls about the credential that a request presents."""

from __future__ import annotations

from drf_spectacular.utils import PolymorphicProxySerializer

from ...api.serializers import ApiKeySerializer
from . import bodies
from .operations import _describe, _operation

_describe(
    "own_key.OwnKey",
    get=_operation(
        "Retrieve the presented credential",
        "The API key or access token that authenticates the request, also if it is read-only or "
        "scoped. 404 for a session.",
        {
            200: PolymorphicProxySerializer(
                "PresentedCredential",
                [ApiKeySerializer, bodies.ACCESS_TOKEN],
                resource_type_field_name=None,
            )
        },
        [404],
    ),
)
_describe(
    "own_key.RotateOwnKey",
    post=_operation(
        "Rotate the presented API key",
        "If it has the right to (`self_rotate`), also if it is read-only or scoped, and with its "
        "current secret. Its lifetime from now on can be at most what it was at the last rotation.",
        {200: bodies.ApiKeyWithSecretSerializer},
        [400, 404, 409, 415],
    ),
)
