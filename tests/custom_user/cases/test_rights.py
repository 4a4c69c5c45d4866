"""Whose keys a manager may not touch, where the user model is a project's own."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from frappe_tokens.keys.actors import Actor
from tests.custom_user.models import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(make_user):
    manager = make_user("manager@example.com")
    manager.groups.add(Group.objects.get(name="System Manager"))
    return Actor(manager)


@pytest.mark.parametrize(
    "name",
    [
        "custom_user.change_person",
        "custom_user.change_account",  # the table that the user model extends
        "custom_user.change_employee",  # what extends the user model
        "custom_user.add_role",
        "auth.change_group",
    ],
)
def test_user_who_can_change_what_others_may_do_is_protected(manager, make_user, name):
    assert not manager.may_manage(make_user("mighty@example.com", permissions=(name,)))


def test_user_with_ordinary_permissions_is_not_protected(manager, make_user):
    names = ("custom_user.change_note", "custom_user.pin_note")
    assert manager.may_manage(make_user("worker@example.com", permissions=names))


def test_permission_that_no_model_declares_protects_in_the_app_of_the_user_model(
    manager, make_user
):
    person = make_user("mighty@example.com")
    person.user_permissions.add(
        Permission.objects.create(
            codename="impersonate",
            name="Can sign in as another person",
            content_type=ContentType.objects.get_for_model(Person),
        )
    )
    assert not manager.may_manage(person)
