import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from frappe_tokens import crypto
from frappe_tokens.keys import GeneratedKeys
from frappe_tokens.models import ApiKey

from .models import Robot

pytestmark = pytest.mark.django_db

WHO = "/api/method/frappe.auth.get_logged_user"


@pytest.fixture(autouse=True)
def robots_are_a_source(settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}


@pytest.fixture
def robot(make_user):
    secret = crypto.generate_api_secret()
    robot = Robot.objects.create(
        user=make_user("operator"), secret_digest=crypto.make_digest(secret)
    )
    return GeneratedKeys(robot.api_key, secret, robot)


def ask(keys, **headers):
    return Client().get(WHO, headers={"authorization": f"token {keys.token}", **headers})


@pytest.mark.django_db(transaction=True)
def test_key_of_another_source_runs_as_its_user(robot):
    response = ask(robot, frappe_authorization_source="Robot")

    assert response.json() == {"message": "operator"}
    robot.instance.refresh_from_db()
    assert robot.instance.last_used_at is not None


def test_key_is_looked_up_on_the_named_source_alone(robot, keys):
    assert ask(robot).status_code == 401
    assert ask(robot, frappe_authorization_source="User").status_code == 401
    assert ask(keys, frappe_authorization_source="Robot").status_code == 401
    assert ask(keys, frappe_authorization_source="User").status_code == 200


def test_unknown_source_is_refused_without_a_query(robot, settings, django_assert_num_queries):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "REQUEST_LOG": "null"}
    with django_assert_num_queries(0):
        response = ask(robot, frappe_authorization_source="sources.Robot")

    assert response.status_code == 401
    assert response.json()["code"] == "invalid_credentials"


def test_row_without_a_secret_is_refused(make_user):
    row = Robot.objects.create(user=make_user("operator"))
    guess = GeneratedKeys(row.api_key, crypto.generate_api_secret(), row)

    assert ask(guess, frappe_authorization_source="Robot").status_code == 401


def test_inherits_the_constraints_under_names_of_its_own(robot):
    names = {constraint.name for constraint in Robot._meta.constraints}
    assert names == {"sources_robot_has_api_key", "sources_robot_grace_ends"}
    assert not names & {constraint.name for constraint in ApiKey._meta.constraints}
    with pytest.raises(IntegrityError), transaction.atomic():
        Robot.objects.update(previous_digest="sha256$ended when?")
