"""Requests, decisions and moments that most tests need."""

from datetime import datetime, timedelta

import pytest
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from frappe_tokens import crypto
from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Refused
from frappe_tokens.keys import GeneratedKeys
from frappe_tokens.models import ApiKey
from frappe_tokens.verification import verify

from .conftest import info_of, token_header

NOON = datetime.fromisoformat("2030-02-28T12:00:00+00:00")
# For a limit that counts by the minute: twenty seconds into one.
IN_A_MINUTE = NOON + timedelta(seconds=20)
TICK = timedelta(microseconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

WHO = "/api/method/frappe.auth.get_logged_user"
GENERATE = "/api/method/frappe.core.doctype.user.user.generate_keys"
JSON = "application/json"


def client_of(keys, **options):
    """A client that sends the keys with every request."""
    return Client(headers={"authorization": token_header(keys)}, **options)


def ask(keys, **headers):
    """The response to a request for the name of the keys' user."""
    return client_of(keys).get(WHO, headers=headers)


def attempt(keys, method="GET", **meta):
    """The decision about a request: its key, or the reason for the refusal."""
    try:
        return verify(parse(token_header(keys), "token"), info_of(method, **meta))
    except Refused as refused:
        return refused.reason


def with_wrong_secret(keys):
    return GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)


def rows(model=ApiKey):
    """All columns of all rows."""
    return list(model._base_manager.order_by("pk").values())


def technical_page(call, error):
    """Django's page about the ``error`` that ``call`` raises, and its text for mails.

    It shows the variables of all frames from here on.
    """
    with pytest.raises(error) as raised:
        call()
    reporter = ExceptionReporter(RequestFactory().get("/"), raised.type, raised.value, raised.tb)
    return reporter.get_traceback_html() + reporter.get_traceback_text()
