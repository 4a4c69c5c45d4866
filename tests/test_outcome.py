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


def test_last_outcome_counts():
    request = RequestFactory().get("/")
    assert get_outcome(request) is None

    set_outcome(request, Outcome(key="first"))
    refused = Outcome(refused=Refused(Reason.KEY_EXPIRED))
    set_outcome(request, refused)
    assert get_outcome(request) is refused
    assert refused.key is None


@pytest.mark.django_db
@pytest.mark.parametrize("wrap", [lambda request: request, Request])
def test_verify_sets_the_outcome_on_djangos_request(keys, wrap):
    request = RequestFactory().get("/")
    info = RequestInfo(wrap(request))
    credential = parse(token_header(keys), "token")
    verify(credential, info)
    assert get_outcome(request) == Outcome(keys.instance)

    revoke(keys.instance)
    with pytest.raises(Refused) as caught:
        verify(credential, info)

    assert get_outcome(request) == Outcome(keys.instance, caught.value)
