"""docs/move/simplejwt.md, done step by step, with simplejwt."""

from datetime import timedelta

import pytest
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.tokens import AccessToken

from frappe_tokens.models import ApiRequestLog

from .conftest import ask, handed_out, moves_and_returns, order_is_right

PAGE = "move/simplejwt"

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.move.site")]


def header_for(user):
    """Return the header of a client that hasn't moved."""
    token = AccessToken.for_user(user)
    token.set_exp(lifetime=timedelta(days=365))
    return f"Bearer {token}"


def test_both_work_until_the_old_tokens_are_switched_off_and_back_on(reader, user):
    old = header_for(user)
    moves_and_returns(reader, old, "Bearer")


def test_order_of_the_classes_is_right(reader):
    order_is_right(reader)


def test_keys_are_for_active_users_who_have_sent_a_token(reader, user, keys, make_user):
    make_user("silent")
    gone = make_user("gone")
    reader.accept_both()
    for old in (header_for(gone), header_for(make_user("grace")), "Bearer wrong", "Bearer a.b.c"):
        ask(old)
    gone.is_active = False
    gone.save()

    reader.execute("Generate keys")

    assert handed_out().keys() == {"grace"}


def test_log_has_no_user_of_stateless_authentication(reader, user, settings):
    reader.accept_both()
    classes = settings.REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"]
    stateless = [name.replace("JWTAuth", "JWTStatelessUserAuth") for name in classes]
    settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": stateless}

    assert ask(header_for(user))[0] == 200

    assert ApiRequestLog.objects.values_list("user", "outcome").get() == (None, "other")


def test_another_signing_key_ends_all_old_tokens(reader, user, monkeypatch):
    old = header_for(user)
    reader.accept_both()
    backend = TokenBackend("HS256", "another key that is long enough for HS256")
    monkeypatch.setattr(AccessToken, "_token_backend", backend)

    assert ask(old) == (401, None)
    assert ask(header_for(user)) == (200, "ada")
