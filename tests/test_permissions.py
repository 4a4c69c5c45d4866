from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from rest_framework.views import APIView

from frappe_tokens.keys import generate_keys
from frappe_tokens.permissions import CanGenerateKeys

pytestmark = pytest.mark.django_db


def opens_to(user: Any, auth: Any = None) -> bool:
    request: Any = SimpleNamespace(user=user, auth=auth)
    return CanGenerateKeys().has_permission(request, APIView())


def test_opens_to_system_managers_and_superusers(
    system_manager: Any, make_user: Callable[..., Any]
) -> None:
    assert opens_to(system_manager)
    assert opens_to(make_user("root", is_superuser=True))
    assert opens_to(system_manager, generate_keys(system_manager).instance)


def test_closed_to_others(user: Any, make_user: Callable[..., Any]) -> None:
    assert not opens_to(user)
    assert not opens_to(AnonymousUser())
    assert not opens_to(make_user("staff", is_staff=True))
    assert not opens_to(make_user("gone", is_superuser=True, is_active=False))


def test_closed_to_an_inactive_user_whatever_the_authentication_backend_says() -> None:
    assert opens_to(SimpleNamespace(is_active=True, has_perm=lambda name: True))
    assert not opens_to(SimpleNamespace(is_active=False, has_perm=lambda name: True))


def test_closed_to_a_manager_whose_credential_is_limited_or_another_packages(
    system_manager: Any,
) -> None:
    for policies in ({"read_only": True}, {"scopes": ["todo"]}):
        limited = generate_keys(system_manager, name="limited", **policies).instance
        assert not opens_to(system_manager, limited)
        limited.delete()
    assert not opens_to(system_manager, "a token of another package")
