"""Generating, changing and revoking keys of other sources than ``ApiKey``."""

from datetime import timedelta
from functools import partial

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.base_models import AbstractApiKey
from frappe_tokens.keys import (
    change_key,
    change_user,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    revoke,
)
from frappe_tokens.keys.actors import Actor

from .client import HOUR, NOON, TICK, ask, rows
from .sources.models import Drone, Gauge, Meter, Robot, Sensor
from .test_keys import code_of
from .test_parallel import at_once, secret_that_works

pytestmark = pytest.mark.django_db

MODELS = [Robot, Drone, Sensor, Meter, Gauge]
SOURCES = {model.__name__: model._meta.label for model in MODELS}


@pytest.fixture(autouse=True)
def _sources(settings):
    settings.FRAPPE_TOKENS = {"SOURCES": SOURCES}


@pytest.fixture(params=MODELS, ids=lambda model: model.__name__)
def row(request, user):
    """A row of each source in turn, without a secret, that runs as ``user``."""
    return request.param.objects.create(user=user)


@pytest.fixture
def robot(user):
    return Robot.objects.create(user=user)


@pytest.fixture
def manager(system_manager):
    return Actor(system_manager)


def ask_as_source(keys):
    return ask(keys, frappe_authorization_source=type(keys.instance).__name__)


def runs_as(keys):
    """The user of a request with the keys, or the code of its refusal."""
    body = ask_as_source(keys).json()
    return str(body.get("message") or body["code"])


# Generating


def test_generated_secret_works_and_the_api_key_stays(row):
    api_key = row.api_key

    keys = generate_keys_for_source(row)

    assert keys.instance is row
    assert keys.api_key == row.api_key == api_key
    assert crypto.matches(keys.api_secret, row.secret_digest)
    assert runs_as(keys) == "ada"
    assert keys.api_secret not in repr(keys)


def test_old_secret_works_until_the_very_end_of_its_grace(row, settings):
    with time_machine.travel(NOON, tick=False) as clock:
        first = generate_keys_for_source(row, grace=HOUR)
        # The first secret replaces none.
        assert (row.previous_digest, row.previous_expires_at) == ("", None)
        settings.FRAPPE_TOKENS = {"SOURCES": SOURCES, "ROTATION_GRACE": HOUR}
        second = generate_keys_for_source(row)
        assert row.previous_expires_at == NOON + HOUR
        clock.move_to(NOON + HOUR - TICK)
        assert [runs_as(keys) for keys in (first, second)] == ["ada", "ada"]
        clock.move_to(NOON + HOUR)
        assert [runs_as(keys) for keys in (first, second)] == ["invalid_credentials", "ada"]
        generate_keys_for_source(row, grace=timedelta(0))
        assert runs_as(second) == "invalid_credentials"


def test_rotation_replaces_nothing_but_the_secret(user):
    robot = Robot.objects.create(user=user, serial_number=7, scopes=["a"], read_only=True)
    Robot.objects.update(serial_number=8)  # meanwhile, by someone else
    (before,) = rows(Robot)

    generate_keys_for_source(robot)

    (after,) = rows(Robot)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"secret_digest", "rotated_at"}
    assert robot.serial_number == 8


# What is refused, and changes nothing


def test_row_without_a_user_is_refused(manager):
    sensor = Sensor.objects.create()
    before = rows(Sensor)

    for by in (None, manager):
        assert code_of(partial(generate_keys_for_source, sensor, by=by)) == "no_user"
    assert rows(Sensor) == before


def test_row_that_has_ended_or_whose_user_has_is_refused(row):
    model, users = type(row), get_user_model().objects
    ends = {
        "key_expired": lambda: model.objects.update(expires_at=timezone.now()),
        "user_inactive": lambda: users.update(is_active=False),
        "key_revoked": lambda: revoke(row),
        "no_key": lambda: row.user.delete(),
    }
    assert code_of(lambda: generate_keys_for_source(model(user=row.user))) == "no_key"

    for code, end in ends.items():
        end()
        before = rows(model)
        assert code_of(lambda: generate_keys_for_source(row)) == code
        assert rows(model) == before
        model._base_manager.update(expires_at=None)
        users.update(is_active=True)


def test_row_is_taken_as_stored_now(robot, make_user, manager):
    Robot.objects.update(user=make_user("root", is_superuser=True))
    assert robot.user.username == "ada"

    with pytest.raises(PermissionDenied):
        generate_keys_for_source(robot, by=manager)


# Who may


STAFF = {"is_staff": True, "permissions": ("sources.change_robot", "frappe_tokens.change_apikey")}
# Falsy ones are credentials, too.
FOREIGN = {"text": "a token", "object": object(), "dict": {"scope": "all"}, "zero": 0, "empty": ""}
OUTSIDERS = {
    "anonymous": lambda make_user: Actor(AnonymousUser()),
    "no user": lambda make_user: Actor(None),
    "user": lambda make_user: Actor(make_user("eve")),
    "staff": lambda make_user: Actor(make_user("eve", **STAFF)),
    "inactive": lambda make_user: Actor(make_user("eve", is_active=False, is_superuser=True)),
}
# Of which source the restricted key is makes no difference.
RESTRICTED = {
    "read-only": lambda manager: generate_keys(manager, read_only=True).instance,
    "scoped": lambda manager: generate_keys(manager, scopes=["todos"]).instance,
    "read-only robot": lambda manager: Robot.objects.create(user=manager, read_only=True),
    **{name: lambda manager, value=value: value for name, value in FOREIGN.items()},
}


@pytest.fixture(params=[*OUTSIDERS, *RESTRICTED, "scoped superuser"])
def outsider(request, make_user, system_manager):
    """An actor who may do nothing to the keys of others."""
    if request.param in OUTSIDERS:
        return OUTSIDERS[request.param](make_user)
    system_manager.is_superuser = request.param == "scoped superuser"
    system_manager.save()
    credential = RESTRICTED[request.param.removesuffix(" superuser")](system_manager)
    return Actor(system_manager, credential)


@pytest.mark.parametrize("self_service", [False, True])
def test_users_without_the_right_change_nothing(
    robot, keys, make_user, outsider, settings, self_service
):
    settings.FRAPPE_TOKENS = {"SOURCES": SOURCES, "SELF_SERVICE": self_service}
    robots, user, by = generate_keys_for_source(robot), robot.user, outsider
    before = [rows(), rows(Robot)]

    attempts = [
        lambda: generate_keys(user, by=by),
        lambda: generate_keys(user, name="new", by=by),
        lambda: generate_keys_for_users([user], by=by),
        lambda: change_user(robot, make_user("grace"), by=by),
    ]
    for key in (robot, keys.instance, by.credential):
        if isinstance(key, AbstractApiKey):
            attempts += [
                partial(generate_keys_for_source, key, by=by),
                partial(change_key, key, read_only=not key.read_only, scopes=[], by=by),
                partial(revoke, key, by=by),
            ]
    for attempt in attempts:
        with pytest.raises(PermissionDenied):
            attempt()
    assert [rows(), rows(Robot)] == before
    assert (runs_as(robots), ask(keys).status_code) == ("ada", 200)


def test_only_a_superuser_generates_for_a_superusers_row(make_user, manager):
    root = make_user("root", is_superuser=True)
    row = Robot.objects.create(user=root)

    with pytest.raises(PermissionDenied):
        generate_keys_for_source(row, by=manager)

    assert runs_as(generate_keys_for_source(row, by=Actor(root))) == "root"
    # Anyone who may generate keys may stop a leak.
    assert revoke(row, by=manager)


def test_self_service_is_for_ones_own_rows(robot, user, make_user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": SOURCES, "SELF_SERVICE": True}

    assert runs_as(generate_keys_for_source(robot, by=Actor(user))) == "ada"
    with pytest.raises(PermissionDenied):
        generate_keys_for_source(robot, by=Actor(make_user("grace")))
    assert revoke(robot, by=Actor(user))


# Revoking and changing


def test_revoking_ends_a_row_for_good(row, manager):
    first = generate_keys_for_source(row)
    second = generate_keys_for_source(row, grace=HOUR)

    assert revoke(row, reason="lost", by=manager)
    assert not revoke(row, by=manager)

    assert (row.revoked_reason, row.revoked_by) == ("lost", manager.user)
    assert [runs_as(keys) for keys in (first, second)] == ["invalid_credentials", "key_revoked"]
    for change in (lambda: change_key(row, read_only=True), lambda: change_user(row, manager.user)):
        assert code_of(change) == "key_revoked"


def test_row_runs_as_another_user_from_the_next_request_on(row, make_user, manager):
    keys = generate_keys_for_source(row)
    grace = make_user("grace")

    change_user(row, grace, by=manager)

    assert row.user == grace
    assert runs_as(keys) == "grace"
    notes = LogEntry.objects.filter(change_message=f"Changed the user of API key {row.api_key}.")
    assert notes.count() == 3  # of the old user, of the new one, and of the row


def test_row_is_not_taken_from_a_superuser_nor_given_to_one(make_user, robot, manager):
    root = make_user("root", is_superuser=True)
    roots = Robot.objects.create(user=root)
    before = rows(Robot)

    for row, user in [(robot, root), (roots, make_user("grace"))]:
        with pytest.raises(PermissionDenied):
            change_user(row, user, by=manager)
    assert rows(Robot) == before
    change_user(robot, root, by=Actor(root))
    assert robot.user == root


def test_row_is_not_given_to_an_unusable_user(robot, make_user, manager):
    before, gone = rows(Robot), make_user("gone")
    get_user_model().objects.filter(pk=gone.pk).delete()

    assert code_of(lambda: change_user(robot, make_user("old", is_active=False))) == "user_inactive"
    for user in (gone, None):
        assert code_of(partial(change_user, robot, user, by=manager)) == "no_user"
    assert rows(Robot) == before


def test_one_users_only_row_stays_the_only_one(make_user, user):
    Sensor.objects.create(user=user)
    second = Sensor.objects.create(user=make_user("grace"))

    with pytest.raises(ValidationError, match="already exists"):
        change_user(second, user)
    change_user(second, None)
    assert second.user is None


def test_row_may_be_read_from_a_replica(robot, user):
    for change in (
        generate_keys_for_source,
        partial(change_key, read_only=True),
        partial(change_user, user=user),
    ):
        robot._state.db = "lagging"
        change(robot)
        assert robot._state.db == "default"


def test_a_users_api_key_stays_theirs(keys, make_user):
    with pytest.raises(TypeError, match="can't change its user"):
        change_user(keys.instance, make_user("grace"))


def test_users_who_serve_themselves_give_no_row_away(robot, user, make_user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": SOURCES, "SELF_SERVICE": True}
    theirs = Robot.objects.create(user=make_user("grace"))

    for row, to in [(robot, theirs.user), (theirs, user)]:
        with pytest.raises(PermissionDenied):
            change_user(row, to, by=Actor(user))


# The cache


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("row", [Robot, Drone, Sensor], indirect=True)
def test_cached_row_is_read_again_after_every_change(row, make_user, settings, statements):
    settings.FRAPPE_TOKENS = {"SOURCES": SOURCES, "CACHE": "default"}

    def keep(keys):
        cache.clear()  # the mark of the change before, in place of waiting for its end
        ask_as_source(keys)
        with statements() as verbs:
            assert ask_as_source(keys).status_code == 200
        assert verbs == []

    first = generate_keys_for_source(row)
    keep(first)
    second = generate_keys_for_source(row)
    assert runs_as(first) == "invalid_credentials"
    keep(second)
    change_user(row, make_user("grace"))
    assert runs_as(second) == "grace"
    keep(second)
    revoke(row)
    assert runs_as(second) == "key_revoked"
    cache.clear()


# At once


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [Robot, Drone, Sensor])
def test_parallel_calls_leave_one_secret_that_works(model, user, make_user):
    root = Actor(make_user("root", is_superuser=True))
    pk = model.objects.create(user=user).pk
    rows = [model.objects.get(pk=pk) for _ in range(30)]

    generated, errors = at_once(
        *[lambda row=row: generate_keys_for_source(row, by=root) for row in rows]
    )

    assert errors == []
    assert len({keys.api_secret for keys in generated}) == 30
    assert len(secret_that_works(generated, model.objects.get())) == 1


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_parallel_calls_of_every_kind_end_revoked(user, make_user):
    users = [user, make_user("grace"), make_user("root", is_superuser=True)]
    root = Actor(users[2])
    pk = Robot.objects.create(user=user).pk

    def calls(number):
        row = [Robot.objects.get(pk=pk) for _ in range(3)]
        return [
            lambda: generate_keys_for_source(row[0], by=root),
            lambda: change_user(row[1], users[number % 3], by=root),
            lambda: change_key(row[2], read_only=bool(number % 2), by=root),
        ]

    assert at_once(*[call for number in range(9) for call in calls(number)])[1] == []
    robot = Robot.objects.get()
    results, errors = at_once(*calls(1), lambda: revoke(robot, by=root))
    assert True in results
    # Calls after the revocation were refused.
    assert {error.code for error in errors if isinstance(error, ValidationError)} <= {"key_revoked"}
    assert all(isinstance(error, ValidationError) for error in errors)
    assert Robot.objects.get().is_revoked
