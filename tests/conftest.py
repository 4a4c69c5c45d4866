from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission

from frappe_tokens.keys import GeneratedKeys, generate_keys

PASSWORD = "a long made-up password"


@pytest.fixture
def make_user(db: None) -> Callable[..., Any]:
    """Makes users: ``make_user("ada", is_staff=True, permissions=["auth.view_user"])``."""

    def make(username: str = "ada", permissions: tuple[str, ...] = (), **fields: Any) -> Any:
        user = get_user_model()._default_manager.create_user(
            **{get_user_model().USERNAME_FIELD: username, "password": PASSWORD, **fields}
        )
        for name in permissions:
            app_label, codename = name.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=app_label, codename=codename)
            )
        return user

    return make


@pytest.fixture
def user(make_user: Callable[..., Any]) -> Any:
    return make_user("ada")


@pytest.fixture
def system_manager(make_user: Callable[..., Any]) -> Any:
    """Staff in the group System Manager, who may see users."""
    manager = make_user("manager", is_staff=True, permissions=("auth.view_user",))
    # The group is remade here because tests with real transactions empty the database.
    group, _ = Group.objects.get_or_create(name="System Manager")
    group.permissions.add(Permission.objects.get(codename="generate_keys"))
    manager.groups.add(group)
    return manager


@pytest.fixture
def keys(user: Any) -> GeneratedKeys:
    """The keys of ``user``."""
    return generate_keys(user)


def token_header(generated: GeneratedKeys) -> str:
    return f"token {generated.token}"


def basic_header(generated: GeneratedKeys) -> str:
    return "Basic " + base64.b64encode(generated.token.encode()).decode()


def bearer_header(generated: GeneratedKeys) -> str:
    return f"Bearer {generated.token}"
