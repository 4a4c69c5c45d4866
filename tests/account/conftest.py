import base64
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.urls import reverse

from frappe_tokens.models import ApiKey

LIST = "/account/api-keys/"
NEW = f"{LIST}new/"


@pytest.fixture(autouse=True)
def _self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


@pytest.fixture
def ada(client, user):
    """A browser in which ``user`` is signed in."""
    client.force_login(user)
    return client


def page_of(key, what):
    return reverse(f"frappe_tokens_account:{what}", args=(key.pk,))


def text_of(response):
    return response.content.decode()


def version_on(response):
    """Return the hidden field that shows whether a form was sent twice."""
    (version,) = re.findall(r'name="version" value="(\w+)"', text_of(response))
    return version


def secrets_on(response):
    return set(re.findall(r"fts_[0-9A-Za-z]{49}", text_of(response)))


def assert_secret_is_only_in(response, client):
    """The secret must not be in a session, cookie or message, nor in the history."""
    (secret,) = secrets_on(response)
    key = ApiKey.objects.get()
    texts = [
        *(str(session.get_decoded()) for session in Session.objects.all()),
        *(cookie.OutputString() for cookie in client.cookies.values()),
        *(str(message) for message in get_messages(response.wsgi_request)),
        *(f"{entry.object_repr} {entry.change_message}" for entry in LogEntry.objects.all()),
        # A template that fails prints its context, for example a project's own template.
        repr(response.context),
    ]
    in_base64 = base64.b64encode(f"user,api_key,api_secret\r\nada,{key.api_key}".encode()).decode()
    leaks = (secret, key.secret_digest, in_base64[:40])
    assert not any(leak in text for text in texts for leak in leaks)
    notes = [entry.get_change_message() for entry in LogEntry.objects.all()]
    assert notes == [f"Generated a secret for API key {key.api_key}."] * 2


def make_key(browser, **fields):
    """Send a new form for a key."""
    return browser.post(NEW, {"version": version_on(browser.get(NEW)), **fields})


def rotate(browser, key, **fields):
    """Send a new form for another secret."""
    page = page_of(key, "rotate")
    return browser.post(page, {"version": version_on(browser.get(page)), "grace": "0", **fields})
