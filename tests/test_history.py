"""The admin's history of what is done outside of the admin."""

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.test import Client, modify_settings

from frappe_tokens.keys import (
    change_key,
    generate_keys,
    generate_keys_for_users,
    revoke,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

from .conftest import token_header

pytestmark = pytest.mark.django_db

GENERATE = "/api/method/frappe.core.doctype.user.user.generate_keys"


def entries():
    found = LogEntry.objects.select_related("user", "content_type").order_by("pk")
    return [
        (entry.user.get_username(), entry.content_type.model, entry.object_id, entry.change_message)
        for entry in found
    ]


def on_both(key, text):
    """An entry on the user and one on the key, by the manager."""
    return [
        ("manager", "user", str(key.user.pk), text),
        ("manager", "apikey", str(key.pk), text),
    ]


def test_rpc_call_is_recorded(user, system_manager):
    header = token_header(generate_keys(system_manager))
    answer = Client().post(GENERATE, {"user": "ada"}, headers={"authorization": header})
    secret = answer.json()["message"]["api_secret"]
    key = ApiKey.objects.get(user=user)
    assert entries() == on_both(key, f"Generated a secret for API key {key.api_key}.")
    assert secret not in repr(entries())


def test_change_and_revocation_are_recorded(keys, system_manager):
    key, by = keys.instance, Actor(system_manager)
    change_key(key, scopes=["todos"], read_only=True, by=by)
    revoke(key, by=by)
    revoke(key, by=by)
    assert entries() == [
        *on_both(key, f"Changed scopes, read-only of API key {key.api_key}."),
        *on_both(key, f"Revoked API key {key.api_key}."),
    ]


def test_each_of_many_keys_is_recorded(make_user, system_manager):
    users = [make_user(f"user{number}") for number in range(5)]
    generate_keys_for_users(users, by=Actor(system_manager))
    assert len(entries()) == 10


def test_trusted_code_is_not_recorded(keys):
    change_key(keys.instance, read_only=True)
    revoke(keys.instance)
    assert entries() == []


def test_refusal_is_not_recorded(user):
    with pytest.raises(Exception, match="permission to generate"):
        generate_keys(user, by=Actor(user))
    assert entries() == []


def test_project_without_the_admin_has_no_history(user, system_manager):
    without = {"remove": ["django.contrib.admin"]}
    with modify_settings(INSTALLED_APPS=without):
        assert not apps.is_installed("django.contrib.admin")
        revoke(generate_keys(user, by=Actor(system_manager)).instance, by=Actor(system_manager))
    assert entries() == []
