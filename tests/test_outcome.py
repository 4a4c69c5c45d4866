"""The outcome of a request is stored on it, for the request log."""

import pytest
from django.test import RequestFactory
from rest_framework.request import Request

from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.keys import revoke
from frappe_tokens.verification import Outcome, RequestInfo, get_outcome, verify
from frappe_tokens.verification.request import set_outcome

from .conftest import token_header


def test_new_request_has_no_outcome():
    assert get_outcome(RequestFactory().get("/")) is None


def test_last_outcome_counts():
    request = RequestFactory().get("/")
    set_outcome(request, Outcome(key="first"))
    refused = Outcome(refused=Refused(Reason.KEY_EXPIRED))
    set_outcome(request, refused)
    assert get_outcome(request) is refused
    assert refused.key is None


def test_is_found_on_the_request_that_drf_wraps():
    request = RequestFactory().get("/")
    outcome = Outcome(key="key")
    set_outcome(Request(request), outcome)
    assert get_outcome(request) is outcome


@pytest.mark.django_db
def test_verify_sets_the_outcome(keys):
    request = RequestFactory().get("/")
    credential = parse(token_header(keys), "token")
    verify(credential, RequestInfo(request))
    assert get_outcome(request) == Outcome(keys.instance)
    revoke(keys.instance)
    with pytest.raises(Refused) as caught:
        verify(credential, RequestInfo(request))
    assert get_outcome(request) == Outcome(keys.instance, caught.value)
