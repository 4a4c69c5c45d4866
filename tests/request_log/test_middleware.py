"""What the request log says of a request."""

import pytest

from frappe_tokens.keys import revoke
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log.usage import latest_of, requests_of_key, requests_of_user, usage_of

from ..conftest import token_header

URL = "/api/method/frappe.auth.get_logged_user"


def test_logs_an_accepted_request(client, user, keys):
    client.get(
        URL + "?page=2",
        headers={"Authorization": token_header(keys), "User-Agent": "curl/8"},
        REMOTE_ADDR="192.0.2.7",
    )
    row = ApiRequestLog.objects.get()
    assert (row.user, row.api_key, row.source) == (user, keys.api_key, "User")
    assert (row.method, row.path, row.status, row.outcome) == ("GET", URL, 200, "accepted")
    assert (row.ip, row.user_agent) == ("192.0.2.7", "curl/8")


def test_logs_a_refused_request(client, keys):
    revoke(keys.instance)
    client.get(URL, headers={"Authorization": token_header(keys)})
    row = ApiRequestLog.objects.get()
    assert (row.status, row.outcome, row.api_key) == (401, "key_revoked", keys.api_key)
    assert row.user == keys.instance.user
    assert usage_of(requests_of_key(keys.instance)).refused == 1
    assert usage_of(requests_of_user(row.user)).total == 1
    assert latest_of(requests_of_key(keys.instance))[1] == [(URL, 1)]


@pytest.mark.django_db(transaction=True)
def test_logs_outside_a_transaction(client, keys):
    client.get(URL, headers={"Authorization": token_header(keys)})
    assert ApiRequestLog.objects.get().outcome == "accepted"


def test_leaves_requests_without_the_header_alone(client, db):
    client.get(URL)
    assert not ApiRequestLog.objects.exists()
