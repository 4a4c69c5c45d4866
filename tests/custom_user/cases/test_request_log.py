"""The request log of users whose primary keys are UUIDs."""

import pytest
from django.test import Client

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import current_sink
from tests.conftest import token_header


@pytest.mark.django_db
@pytest.mark.parametrize("log", ["durable", "buffered"])
@pytest.mark.parametrize("number", [1, 2])
def test_logs_a_person(make_user, settings, log, number):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": log}
    ada = generate_keys(make_user("ada@example.com"))
    for _ in range(number):
        Client().get("/api/keys/", headers={"Authorization": token_header(ada)})
    current_sink().flush()
    assert [row.user for row in ApiRequestLog.objects.all()] == [ada.instance.user] * number
