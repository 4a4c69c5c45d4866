"""Many clients at once, over real connections and transactions."""

import pytest

from frappe_tokens.models import ApiKey

from ..test_parallel import at_once
from .conftest import send, works

pytestmark = [pytest.mark.parallel, pytest.mark.django_db(transaction=True)]

CLIENTS = 10


def test_one_of_many_gets_the_name(manager, user):
    def make():
        return send(manager, "POST", body={"user": "ada", "name": "deploy"})

    answers, errors = at_once(*[make] * CLIENTS)
    assert errors == []
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (CLIENTS - 1)
    (made,) = [answer.json() for answer in answers if answer.status_code == 201]
    key = ApiKey.objects.get(user=user)
    assert key.api_key == made["api_key"]
    assert works(made["api_key"], made["api_secret"])


def test_rotating_beside_revoking_makes_no_key(manager, keys):
    def rotate():
        return send(manager, "POST", f"{keys.api_key}/rotate/").status_code

    def revoke():
        return send(manager, "DELETE", keys.api_key).status_code

    statuses, errors = at_once(*[rotate] * CLIENTS, *[revoke] * 2)
    assert errors == []
    assert set(statuses[:CLIENTS]) <= {200, 409}
    assert statuses[CLIENTS:] == [204, 204]
    assert ApiKey.objects.get(user=keys.instance.user).is_revoked
