"""Access tokens are read from where they are written, with what decides about them."""

import pytest
from django.utils import timezone
from oauth2_provider.models import Application

from frappe_tokens.contrib.oauth2 import tokens
from frappe_tokens.contrib.oauth2.registration_limit import TOGETHER, count_registration

from ..conftest import info_of
from ..replicas import NoReplica
from .conftest import refusal

pytestmark = [
    pytest.mark.urls("tests.oauth.test_access_tokens"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def no_replica(settings):
    """From now on, what is read from a replica fails."""
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "REQUEST_LOG": "null"}

    def change():
        settings.DATABASE_ROUTERS = [NoReplica()]

    return change


def test_token_is_not_read_from_a_replica(ask, issue, user, no_replica):
    token = issue(user)
    no_replica()
    assert ask(token.header).json() == {"user": "ada"}

    token.instance.expires = timezone.now()
    token.instance.save()
    assert refusal(ask(token.header)) == (401, "key_expired")

    token.instance.delete()
    assert refusal(ask(token.header)) == (401, "invalid_credentials")


def test_whom_an_application_may_run_as_is_not_read_from_a_replica(
    ask, issue, confidential, make_user, no_replica
):
    token, grace = issue(None, application=confidential), make_user("grace")
    no_replica()
    assert ask(token.header).json() == {"user": "owner"}

    # Without the toolkit's own reads.
    Application.objects.using("default").filter(pk=confidential.pk).update(user=grace)
    assert refusal(ask(token.header)) == (401, "invalid_credentials")


def test_token_to_revoke_or_describe_is_not_read_from_a_replica(
    issue, issue_refresh_token, user, no_replica
):
    token, refresh_token = issue(user), issue_refresh_token(user)
    no_replica()
    assert tokens.find_issued(token.raw) == token.instance
    assert tokens.find_issued(refresh_token).user == user
    assert tokens.find_issued("unknown") is None


def test_registrations_are_not_counted_on_a_replica(public, settings, no_replica):
    settings.FRAPPE_TOKENS |= {"OAUTH_REGISTRATION_LIMIT": "1/hour"}
    Application.objects.bulk_create(
        Application(
            client_id=f"client {number}",
            registration_source=Application.RegistrationSource.DCR,
            authorization_grant_type="authorization-code",
        )
        for number in range(TOGETHER)
    )
    no_replica()
    assert count_registration(info_of("POST")) == 3600
