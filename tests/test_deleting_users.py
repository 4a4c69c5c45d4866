"""Users are deleted while their keys are generated and changed."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.db.models.deletion import Collector
from django.db.models.signals import post_save, pre_delete
from django.test.utils import CaptureQueriesContext

from frappe_tokens.keys import (
    change_key,
    change_user,
    disable,
    generate_keys,
    generate_keys_for_source,
)
from frappe_tokens.models import ApiKey

from .conftest import receiving
from .sources.models import Drone, Robot, Sensor
from .test_key_cache_races import elsewhere

pytestmark = [pytest.mark.parallel, pytest.mark.django_db(transaction=True)]

SOURCES = {model.__name__: f"sources.{model.__name__}" for model in (Robot, Drone, Sensor)}


@pytest.fixture
def sources(settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"User": "frappe_tokens.ApiKey", **SOURCES}}


def delete_while(call, users):
    """Delete ``users`` while another connection runs ``call``, once Django knows what to delete."""

    def receive(**_):
        pre_delete.disconnect(receive, sender=ApiKey)
        elsewhere(call)

    pre_delete.connect(receive, sender=ApiKey)
    try:
        users.delete()
    finally:
        assert not pre_delete.disconnect(receive, sender=ApiKey)


@pytest.mark.parametrize(
    "call",
    [
        lambda user: generate_keys(user, name="late"),
        lambda user: Robot(user=user).save(),
        lambda user: Drone(user=user).save(),
        lambda user: Sensor(user=user).save(),
    ],
    ids=["key", "robot", "drone", "sensor"],
)
@pytest.mark.parametrize("how", ["one", "many"])
def test_keys_that_are_generated_meanwhile_are_deleted_too(make_user, sources, call, how):
    user, other = make_user("ada"), make_user("grace")
    generate_keys(user)
    kept = generate_keys(other)
    users = get_user_model()._default_manager.filter(pk=user.pk)

    delete_while(lambda: call(user), users.get() if how == "one" else users)

    assert not users.exists()
    assert ApiKey.objects.get() == kept.instance
    assert not any(model._base_manager.exists() for model in (Robot, Sensor))


def test_row_that_outlives_its_user_is_kept(make_user, sources, monkeypatch):
    user = make_user("ada")
    sensor = Sensor.objects.create(user=user)
    reference = Sensor._meta.get_field("user").remote_field
    monkeypatch.setattr(reference, "on_delete", models.SET_NULL)

    user.delete()

    sensor.refresh_from_db()
    assert sensor.user is None


def test_row_with_the_number_of_a_user_takes_nothing_of_theirs(make_user):
    user = make_user("ada")
    kept = generate_keys(user).instance

    Robot.objects.create(pk=user.pk, user=make_user("grace")).delete()

    assert ApiKey.objects.get() == kept


def test_each_key_is_announced_once(user):
    for name in ("a", "b"):
        generate_keys(user, name=name)

    with receiving(pre_delete) as calls:
        delete_while(lambda: generate_keys(user, name="late"), user)

    deleted = [call["instance"].name for call in calls if call["sender"] is ApiKey]
    assert sorted(deleted) == ["a", "b", "late"]


def test_deletion_that_names_no_origin(user):
    generate_keys(user)
    collector = Collector("default")
    collector.collect([user])

    elsewhere(lambda: generate_keys(user, name="late"))
    collector.delete()

    assert not get_user_model()._default_manager.exists()
    assert not ApiKey.objects.exists()


class KeysElsewhere:
    """A router to a database of the keys alone. There is none here, so it is the same."""

    def db_for_write(self, model, **hints):
        return "replica" if model is ApiKey else None


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
def test_users_in_another_database_than_their_keys_are_not_locked(user, settings):
    settings.DATABASE_ROUTERS = [f"{__name__}.KeysElsewhere"]
    with CaptureQueriesContext(connection) as captured:
        user.delete()
    locks = ("FOR UPDATE", 'SET "name"')  # the latter on SQLite
    assert not any(lock in query["sql"] for query in captured for lock in locks)


@pytest.mark.parametrize(
    "call",
    [
        lambda robot, user: change_key(robot, read_only=True),
        lambda robot, user: change_user(robot, user),
        lambda robot, user: disable(robot),
        lambda robot, user: generate_keys_for_source(robot).api_secret,
    ],
    ids=["change", "change user", "disable", "rotate"],
)
def test_key_is_deleted_right_after_the_change(make_user, sources, call):
    robot = Robot.objects.create(user=make_user("ada"))

    def receive(**_):
        transaction.on_commit(Robot.objects.all().delete)

    post_save.connect(receive, sender=Robot)
    try:
        call(robot, make_user("grace"))
    finally:
        post_save.disconnect(receive, sender=Robot)

    assert not Robot.objects.exists()
