"""The users' own page of keys, for a user model without a username and with a UUID."""

import pytest

from frappe_tokens.models import ApiKey
from tests.account.conftest import LIST, make_key, page_of, rotate, secrets_on, text_of

pytestmark = pytest.mark.django_db


def test_a_person_serves_themselves(client, make_user, settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    person = make_user("ada@example.com")
    client.force_login(person)

    assert secrets_on(make_key(client, name="deploy"))
    key = ApiKey.objects.get()
    assert (key.user, key.created_by) == (person, person)
    assert "run as ada@example.com." in text_of(client.get(LIST))
    assert secrets_on(rotate(client, key))
    assert client.post(page_of(key, "rename"), {"name": "nightly"}).status_code == 302
    assert client.post(page_of(key, "revoke"), {"reason": "done"}).status_code == 302
    assert ApiKey.objects.get().revoked_by == person

    client.force_login(make_user("grace@example.com"))
    assert client.post(page_of(key, "revoke")).status_code == 404
