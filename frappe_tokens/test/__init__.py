"""Helpers for tests of views with API keys; for pytest in ``frappe_tokens.test.fixtures``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from django.test import Client

from ..crypto import Secret
from ..keys import GeneratedKeys, create_key, disable, revoke
from ..models import ApiKey
from ..types import User

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing's own comes with Python 3.11

    from ..keys import Options

__all__ = ["ApiKeyClient", "ApiKeyClientMixin", "make_key"]

_numbers = count(1)

if TYPE_CHECKING:
    _Client = Client
else:
    _Client = object


def make_key(
    user: User, *, disabled: bool = False, revoked: bool = False, **policies: Unpack[Options]
) -> GeneratedKeys:
    """Make an API key for ``user``, with a name that isn't used yet.

    Args:
        user: whose requests the key is for.
        disabled: whether the key is disabled.
        revoked: whether it is revoked. For an expired key, use it after its ``expires_at``, with
            time-machine or freezegun.
        **policies: as for :func:`frappe_tokens.keys.generate_keys`.

    Raises:
        ValidationError: the user is inactive, or a policy is invalid.
    """
    if "name" not in policies and ApiKey.objects.filter(user=user, name="", live=True).exists():
        policies["name"] = f"test {next(_numbers)}"
    keys = create_key(user, **policies)
    if disabled:
        disable(keys.instance)
    if revoked:
        revoke(keys.instance)
    return keys


class ApiKeyClientMixin(_Client):
    """Adds :meth:`use_key` to Django's ``Client`` and ``AsyncClient``, and DRF's ``APIClient``."""

    _key_headers: dict[str, str] = {}

    def use_key(
        self, keys: GeneratedKeys | None, *, scheme: str = "token", source: str = ""
    ) -> None:
        """Send ``keys`` with all further requests. None: send no key.

        Args:
            keys: from :func:`make_key` or :func:`frappe_tokens.keys.generate_keys`.
            scheme: ``token``, ``Basic`` or ``Bearer``.
            source: for ``Frappe-Authorization-Source``.
        """
        if keys is None:
            self._key_headers = {}
            return
        is_basic = scheme.lower() == "basic"
        value = base64.b64encode(keys.token.encode()).decode() if is_basic else keys.token
        # Secret also in the repr() of a response's request, such as in a failed assertion.
        self._key_headers = {"Authorization": Secret(f"{scheme} {value}")}
        if source:
            self._key_headers["Frappe-Authorization-Source"] = source

    def generic(
        self,
        method: str,
        path: Any,
        *args: Any,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Any:
        headers = {**self._key_headers, **(headers or {})}
        return super().generic(method, path, *args, headers=headers, **extra)


class ApiKeyClient(ApiKeyClientMixin, Client):
    """Django's test client with :meth:`~ApiKeyClientMixin.use_key`."""
