"""Keys of another source. Each way in is asked in ``contrib/test_ways_in.py``."""

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from frappe_tokens import crypto
from frappe_tokens.keys import GeneratedKeys, generate_keys_for_source
from frappe_tokens.models import ApiKey

from .models import Robot

pytestmark = pytest.mark.django_db

WHO = "/api/method/frappe.auth.get_logged_user"


@pytest.fixture(autouse=True)
def robots_are_a_source(settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}


@pytest.fixture
def robot(make_user):
    return Robot.objects.create(user=make_user("operator"))


def ask(keys, source):
    headers = {"authorization": f"token {keys.token}", "frappe_authorization_source": source}
    return Client().get(WHO, headers=headers)


@pytest.mark.django_db(transaction=True)
def test_key_is_looked_up_on_the_named_source_alone(robot, keys):
    without_secret = GeneratedKeys(robot.api_key, crypto.generate_api_secret(), robot)
    assert ask(without_secret, "Robot").status_code == 401
    generated = generate_keys_for_source(robot)

    assert ask(generated, "Robot").json() == {"message": "operator"}
    assert Robot.objects.get().last_used_at is not None
    for pair, source in [(generated, "User"), (generated, "sources.Robot"), (keys, "Robot")]:
        assert ask(pair, source).json()["code"] == "invalid_credentials"
    assert ask(keys, "User").status_code == 200


def test_inherits_the_constraints_under_names_of_its_own(robot):
    names = {constraint.name for constraint in Robot._meta.constraints}
    assert names == {"sources_robot_has_api_key", "sources_robot_grace_ends"}
    assert not names & {constraint.name for constraint in ApiKey._meta.constraints}
    with pytest.raises(IntegrityError), transaction.atomic():
        Robot.objects.update(previous_digest="sha256$ended when?")
