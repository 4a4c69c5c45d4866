"""One form, sent many times at the same moment."""

import pytest
from django.test import Client

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey
from tests.test_parallel import at_once

from .conftest import NEW, page_of, secrets_on, version_on

pytestmark = [pytest.mark.parallel, pytest.mark.django_db(transaction=True)]

WRITERS = 10


def sent_at_once(browser, page, form):
    def send():
        window = Client()
        window.cookies = browser.cookies
        return window.post(page, form)

    answers, errors = at_once(*[send] * WRITERS)
    assert errors == []
    return answers


def test_makes_one_key(ada):
    form = {"version": version_on(ada.get(NEW)), "name": "ci"}

    answers = sent_at_once(ada, NEW, form)

    (secret,) = set().union(*map(secrets_on, answers))
    assert crypto.matches(secret, ApiKey.objects.get().secret_digest)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (WRITERS - 1)


def test_rotates_once(ada, user):
    page = page_of(generate_keys(user).instance, "rotate")
    form = {"version": version_on(ada.get(page)), "grace": "3600"}

    answers = sent_at_once(ada, page, form)

    (secret,) = set().union(*map(secrets_on, answers))
    assert crypto.matches(secret, ApiKey.objects.get().secret_digest)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (WRITERS - 1)
