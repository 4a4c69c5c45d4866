"""docs/move/knox.md, done step by step, with knox."""

from datetime import timedelta

import pytest
from knox import auth
from knox.models import AuthToken

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey, ApiRequestLog

from .conftest import ask, handed_out, moves_and_returns, order_is_right

PAGE = "move/knox"

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.move.site")]


@pytest.fixture
def old(user):
    """The header of a client that hasn't moved."""
    return f"Token {AuthToken.objects.create(user, expiry=None)[1]}"


def test_both_work_until_knox_is_switched_off_and_back_on(reader, old):
    moves_and_returns(reader, old, "Token")


def test_order_of_the_classes_is_right(reader):
    order_is_right(reader)


def test_both_work_with_the_prefix_bearer(reader, keys, settings, monkeypatch):
    monkeypatch.setattr(auth.knox_settings, "AUTH_HEADER_PREFIX", "Bearer")
    reader.accept_both()
    classes = settings.REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"]
    ours = classes[0].replace("TokenAuthentication", "BearerAuthentication")
    settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [ours, *classes[1:]]}
    token = AuthToken.objects.create(keys.instance.user)[1]

    assert ask(f"Bearer {token}") == ask(f"Bearer {keys.token}") == (200, "ada")


def test_keys_are_for_active_users_with_a_long_token(reader, old, make_user):
    AuthToken.objects.create(make_user("short"), expiry=timedelta(hours=10))
    AuthToken.objects.create(make_user("gone", is_active=False), expiry=None)
    for _ in range(2):
        AuthToken.objects.create(make_user(f"long{_}"), expiry=timedelta(days=365))
        AuthToken.objects.create(AuthToken.objects.latest("created").user, expiry=None)

    reader.execute("Generate keys")

    assert handed_out().keys() == {"ada", "long0", "long1"}


def test_user_with_several_programs_gets_a_key_for_each(reader, keys):
    reader.run("Generate keys")

    assert set(ApiKey.objects.values_list("name", flat=True)) == {"", "deploy"}


def test_log_names_the_users_who_still_send_an_old_token(reader, old, make_user):
    reader.accept_both()
    ask(old)
    ask(f"Token {generate_keys(make_user('grace')).token}")

    logged = ApiRequestLog.objects.values_list("user__username", "outcome")
    assert set(logged) == {("ada", "other"), ("grace", "accepted")}


def test_tables_can_be_dropped(reader):
    reader.run("Switch knox off", "--plan", "--verbosity=0")
