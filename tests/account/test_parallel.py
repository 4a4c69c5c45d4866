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


@pytest.mark.parametrize("what", ["new", "rotate"])
def test_one_form_generates_one_secret(ada, user, what):
    page = NEW if what == "new" else page_of(generate_keys(user).instance, "rotate")
    form = {"version": version_on(ada.get(page)), "name": "ci", "grace": "3600"}

    def send():
        window = Client()
        window.cookies = ada.cookies
        return window.post(page, form)

    answers, errors = at_once(*[send] * WRITERS)

    assert errors == []
    (secret,) = set().union(*map(secrets_on, answers))
    assert crypto.matches(secret, ApiKey.objects.get().secret_digest)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (WRITERS - 1)
