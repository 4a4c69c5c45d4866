"""What was decided about a request is found on it by whoever logs it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory
from rest_framework.request import Request

from frappe_tokens.credentials import parse
from frappe_tokens.decisions import Decision, decision_about, note
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.keys import GeneratedKeys, revoke
from frappe_tokens.verification import RequestFacts, verify

from .conftest import token_header


def test_nothing_was_decided_about_a_new_request() -> None:
    assert decision_about(RequestFactory().get("/")) is None


def test_last_decision_counts() -> None:
    request = RequestFactory().get("/")
    note(request, Decision(key="first"))
    refused = Decision(refused=Refused(Reason.KEY_EXPIRED))
    note(request, refused)
    assert decision_about(request) is refused
    assert refused.key is None


def test_is_found_on_the_request_that_drf_wraps() -> None:
    request = RequestFactory().get("/")
    decision = Decision(key="key")
    note(Request(request), decision)
    assert decision_about(request) is decision


@pytest.mark.django_db
def test_verification_notes_what_it_decides(keys: GeneratedKeys) -> None:
    request = RequestFactory().get("/")
    credential: Any = parse(token_header(keys), "token")
    verify(credential, RequestFacts(request))
    assert decision_about(request) == Decision(keys.instance)
    revoke(keys.instance)
    with pytest.raises(Refused) as caught:
        verify(credential, RequestFacts(request))
    assert decision_about(request) == Decision(keys.instance, caught.value)
