"""``CACHE``: what is kept of a key, and what ends it."""

import logging
import math
from contextlib import closing, nullcontext
from datetime import timedelta
from enum import Enum
from functools import partial
from importlib import import_module

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.cache import cache, caches
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings

from frappe_tokens import crypto, lookup
from frappe_tokens.credentials import parse
from frappe_tokens.keys import GeneratedKeys, generate_keys, generate_keys_for_users, revoke
from frappe_tokens.lookup import statement as lookup_statement
from frappe_tokens.lookup.find import _reads_latest_commit
from frappe_tokens.models import ApiKey
from frappe_tokens.verification import verify
from frappe_tokens.waiting import MustWait

from .client import HOUR, MINUTE, NOON, TICK, ask, attempt, client_of, with_wrong_secret
from .conftest import info_of, token_header
from .replicas import KeysElsewhere, Replicas
from .sources.models import Drone, Meter, Operator, Robot

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "replica"]),
    pytest.mark.usefixtures("cached_keys"),
]


def find(keys):
    return lookup.find(type(keys.instance), keys.api_key)


def find_and_store(model, api_key):
    lookup.find(model, api_key).store(math.inf)


def is_cached(keys):
    found = find(keys)
    return found is not None and found.entry is not None


def test_without_the_setting_nothing_is_kept(keys, settings, statements, caplog):
    settings.FRAPPE_TOKENS = {}
    ask(keys)
    with statements() as verbs:
        keys.instance.user.save()
    assert verbs == ["UPDATE"]
    generate_keys(keys.instance.user)
    assert not caplog.messages
    settings.FRAPPE_TOKENS = {"CACHE": "default"}
    assert not is_cached(keys)


def test_wrong_secret_takes_the_same_query_as_an_unknown_key(keys, statements):
    """So time doesn't tell that a key exists and was used recently."""
    ask(keys)
    assert is_cached(keys)
    unknown = GeneratedKeys(crypto.generate_api_key(), keys.api_secret, keys.instance)
    for refused in (with_wrong_secret(keys), unknown):
        with statements() as verbs:
            assert ask(refused).json()["code"] == "invalid_credentials"
        assert verbs == ["SELECT"]
    assert is_cached(keys)


def test_new_secret_works_even_if_an_old_entry_is_cached(keys, settings):
    ask(keys)
    with override_settings(FRAPPE_TOKENS={}):  # as in a process without the cache
        new = generate_keys(keys.instance.user)
    assert is_cached(keys)
    assert ask(new).status_code == 200


def test_old_secret_in_its_grace_period_needs_no_query(keys, statements):
    new = generate_keys(keys.instance.user, grace=HOUR)
    cache.clear()
    for presented in (new, keys):
        ask(presented)
    with statements() as verbs:
        assert {ask(presented).status_code for presented in (new, keys)} == {200}
    assert verbs == []


def test_each_request_hashes_its_secret_once(keys, monkeypatch):
    calls, matches_which = [], crypto.matches_which

    def counted(*arguments):
        calls.append(arguments)
        return matches_which(*arguments)

    monkeypatch.setattr(crypto, "matches_which", counted)
    unknown = GeneratedKeys(crypto.generate_api_key(), keys.api_secret, keys.instance)
    for presented in (keys, keys, with_wrong_secret(keys), unknown):
        ask(presented)
    assert is_cached(keys)
    assert len(calls) == 4


def test_digest_that_a_field_decrypts_is_read_from_the_database(keys, monkeypatch, statements):
    monkeypatch.setattr(lookup_statement, "_statements", {})
    for name in ("secret_digest", "previous_digest"):
        column = ApiKey._meta.get_field(name)
        monkeypatch.setattr(column, "from_db_value", lambda value, *_: value, raising=False)
    assert ask(keys).status_code == 200
    assert is_cached(keys)
    with statements() as verbs:
        assert ask(keys).status_code == 200
        assert ask(with_wrong_secret(keys)).status_code == 401
    assert verbs == ["SELECT", "SELECT"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE frappe_tokens_apikey SET live = NULL, revoked_at = '2020-01-01 00:00:00'",
        "DELETE FROM frappe_tokens_apikey",
    ],
)
def test_revoking_ends_what_is_cached_of_a_key_that_sql_has_ended(user, statement):
    keys = generate_keys(user)
    ask(keys)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    assert ask(keys).status_code == 200  # from the cache

    revoke(keys.instance)

    assert ask(keys).status_code == 401


def test_revoking_a_key_leaves_the_others_cached(keys, user):
    other = generate_keys(user, name="other")
    ask(keys)

    revoke(other.instance)

    assert is_cached(keys)


def test_policies_apply_to_cached_keys(user):
    read_only = generate_keys(user, read_only=True)
    scoped = generate_keys(user, name="scoped", scopes=["todos"])
    for keys in (read_only, scoped):
        ask(keys)
        assert is_cached(keys)

    assert client_of(read_only).post("/api/keys/").json()["code"] == "key_read_only"
    assert client_of(scoped).get("/api/keys/").json()["code"] == "insufficient_scope"


def test_expiry_counts_in_the_cache_at_its_very_moment(user):
    with time_machine.travel(NOON, tick=False) as clock:
        keys = generate_keys(user, expires_at=NOON + timedelta(seconds=30))
        ask(keys)
        clock.move_to(NOON + timedelta(seconds=30) - TICK)
        assert is_cached(keys)
        assert ask(keys).status_code == 200
        clock.shift(TICK)
        assert ask(keys).json()["code"] == "key_expired"


def test_refused_keys_are_not_cached(keys):
    ask(with_wrong_secret(keys))
    assert not is_cached(keys)

    revoke(keys.instance)
    ask(keys)
    assert not is_cached(keys)


def test_unknown_keys_do_not_fill_the_cache(settings):
    settings.CACHES = {"default": LOCAL}

    for number in range(200):
        assert lookup.find(ApiKey, f"ftk_made_up_{number}") is None

    assert not caches["default"]._cache


def test_no_secret_and_no_password_is_kept(keys, settings):
    settings.CACHES = {"default": LOCAL}
    ask(keys)
    assert is_cached(keys)

    kept = caches["default"]._cache
    everything = b"".join([name.encode() + value for name, value in kept.items()])
    for included in (keys.api_key, keys.instance.secret_digest):
        assert included.encode() in everything
    for excluded in (keys.api_secret, keys.instance.user.password):
        assert excluded.encode() not in everything


LOCAL = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "LOCATION": "keys",
    "OPTIONS": {"MAX_ENTRIES": 100_000},
}


def deactivate(keys):
    user = get_user_model()._default_manager.get()
    user.is_active = False
    user.save()


def few_columns():
    return ApiKey.objects.only("pk", "read_only")


CHANGES = {
    "saving": lambda keys: keys.instance.save(),
    "deleting": lambda keys: ApiKey.objects.get().delete(),
    "rotating": lambda keys: generate_keys(keys.instance.user),
    "rotating many": lambda keys: generate_keys_for_users([keys.instance.user]),
    "revoking": lambda keys: revoke(keys.instance),
    "saving the user": deactivate,
    "deleting the user": lambda keys: keys.instance.user.delete(),
    "saving with deferred columns": lambda keys: few_columns().get().save(),
    "deleting with deferred columns": lambda keys: few_columns().get().delete(),
    "queryset's delete with deferred columns": lambda keys: few_columns().delete(),
    "update": lambda keys: ApiKey.objects.filter(pk=keys.instance.pk).update(read_only=True),
    "queryset's delete": lambda keys: ApiKey.objects.all().delete(),
    "bulk_update": lambda keys: ApiKey.objects.bulk_update([keys.instance], ["rate_limit"]),
    "bulk_create": lambda keys: ApiKey.objects.bulk_create(
        [keys.instance],
        update_conflicts=True,
        update_fields=["rate_limit"],
        unique_fields=["api_key"] if connection.vendor != "mysql" else None,
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("within", [nullcontext, transaction.atomic])
def test_change_ends_the_entry(keys, change, within):
    ask(keys)
    assert is_cached(keys)

    with within():
        change(keys)
        assert not is_cached(keys)

    assert not is_cached(keys)


@pytest.mark.parametrize("change", [lambda keys: keys.instance.save(), deactivate])
def test_entry_ends_before_the_change_is_written(keys, change):
    """Because without a transaction, the next reader may come between the change and its end."""
    ask(keys)
    cached_at_write = []

    def look(execute, sql, *rest):
        if sql.startswith("UPDATE"):
            cached_at_write.append(is_cached(keys))
        return execute(sql, *rest)

    with connection.execute_wrapper(look):
        change(keys)
    assert cached_at_write == [False]


def test_error_after_the_commit_of_a_change_of_the_user_is_not_raised(user):
    failing = []

    def fail(execute, sql, *rest):
        if failing:
            raise OperationalError("the server has gone away")
        return execute(sql, *rest)

    with connection.execute_wrapper(fail), transaction.atomic():
        user.save()
        failing.append(True)


@pytest.mark.parametrize("roll_back", [True, False], ids=["rolled back", "committed"])
@pytest.mark.parametrize("many", [True, False], ids=["update", "save"])
def test_changed_key_is_cached_again_when_its_mark_expires(keys, settings, roll_back, many):
    settings.CACHES = {"default": LOCAL}
    with time_machine.travel(NOON, tick=False) as clock:
        ask(keys)
        with transaction.atomic():
            ApiKey.objects.update(rate_limit="1/s") if many else keys.instance.save()
            transaction.set_rollback(roll_back)
        # However many requests there are meanwhile, and other writers with other keys.
        for _ in range(3):
            ask(keys)
            assert not is_cached(keys)
            generate_keys(keys.instance.user, name="other")
            clock.shift(MINUTE)
        ask(keys)
        assert is_cached(keys)


def test_what_django_does_not_see_ends_with_the_timeout(keys, settings):
    settings.CACHES = {"default": LOCAL}
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "CACHE_TIMEOUT": timedelta(seconds=29.5)}
    with time_machine.travel(NOON, tick=False) as clock:
        ask(keys)
        ApiKey._base_manager.update(read_only=True)
        for _ in range(3):  # being used does not prolong it
            clock.shift(timedelta(seconds=9))
            found = find(keys)
            assert found.entry
            assert not found.key.read_only
            found.store(math.inf)
        clock.shift(timedelta(seconds=2.5))
        found = find(keys)
        assert not found.entry
        assert found.key.read_only
        clock.shift(timedelta(seconds=0.5))
        assert all(map(caches["default"]._has_expired, caches["default"]._cache))


@pytest.mark.parametrize(("seconds", "is_kept"), [(59, True), (60, False)])
def test_row_that_was_read_too_long_ago_is_not_kept(keys, seconds, is_kept):
    with time_machine.travel(NOON, tick=False) as clock:
        ask(keys)
        cache.clear()
        found = find(keys)
        clock.shift(timedelta(seconds=seconds))
        found.store(math.inf)
        assert is_cached(keys) is is_kept


def test_use_is_written_once_an_interval_from_the_cache_too(keys, settings, statements):
    settings.CACHES = {"default": LOCAL}
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "LAST_USED_INTERVAL": timedelta(seconds=20)}
    with time_machine.travel(NOON, tick=False) as clock, statements() as verbs:
        for _ in range(6):
            ask(keys)
            clock.shift(timedelta(seconds=10))
    # The row changes when its use is recorded, so it is read again.
    assert verbs == ["SELECT", "UPDATE"] * 3


def test_digest_that_was_renewed_is_the_one_in_the_cache(keys, settings, statements):
    ask(keys)
    pepper = "a new pepper, which is long enough for HMAC"
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "PEPPERS": [pepper]}
    with statements() as verbs:
        assert ask(keys).status_code == 200
        assert ask(keys).status_code == 200
    assert verbs == ["UPDATE"]


def test_digest_that_was_not_renewed_after_all_is_renewed_later(keys, settings):
    ask(keys)
    pepper = "a new pepper, which is long enough for HMAC"
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "PEPPERS": [pepper]}
    with transaction.atomic():
        assert ask(keys).status_code == 200
        transaction.set_rollback(True)
    assert ask(keys).status_code == 200
    assert crypto.is_current(ApiKey.objects.get().secret_digest)


def test_other_changes_leave_a_key_in_the_cache(user, keys, make_user, statements):
    other = generate_keys(user, name="other")
    ask(keys)

    generate_keys(user, name="other")
    revoke(other.instance)
    ApiKey.objects.filter(name="no such key").update(read_only=True)
    with statements() as verbs:
        another_user = make_user("grace")
    assert verbs == ["INSERT"]
    generate_keys(another_user)
    another_user.save()

    assert is_cached(keys)


def test_models_that_share_a_table_share_their_ends(user):
    drone = Drone.objects.create(user=user)
    find_and_store(Drone, drone.api_key)
    find_and_store(Robot, drone.api_key)
    # The one that came first has the place.
    assert lookup.find(Drone, drone.api_key).entry

    Robot.objects.get().save()

    for model in (Drone, Robot):
        assert not lookup.find(model, drone.api_key).entry


def test_change_of_the_user_ends_the_keys_of_other_sources(user, settings):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "SOURCES": {"Robot": "sources.Robot"}}
    robot = Robot.objects.create(user=user)
    find_and_store(Robot, robot.api_key)
    assert lookup.find(Robot, robot.api_key).entry

    user.save()

    assert not lookup.find(Robot, robot.api_key).entry


def test_user_may_be_saved_as_an_instance_of_another_model(keys):
    ask(keys)
    assert is_cached(keys)
    Operator.objects.get().save()
    assert not is_cached(keys)


def test_model_without_a_statement_is_not_cached(user):
    robot = Robot.objects.create(user=user)
    find_and_store(Meter, robot.api_key)
    assert not lookup.find(Meter, robot.api_key).entry


@pytest.mark.parametrize(("backend", "levels"), [("DeadCache", [logging.ERROR]), ("FullCache", [])])
def test_database_answers_if_the_cache_does_not(
    keys, settings, statements, caplog, backend, levels
):
    settings.CACHES = {"default": {"BACKEND": f"tests.caches.{backend}"}}
    ask(keys)
    with statements() as verbs:
        assert ask(keys).json() == {"message": "ada"}
    assert verbs == ["SELECT"]
    logged = [entry for entry in caplog.records if entry.name == "frappe_tokens.key_cache"]
    assert [entry.levelno for entry in logged] == levels
    assert keys.api_key not in caplog.text

    with transaction.atomic():
        revoke(keys.instance)
    keys.instance.user.save()

    assert ask(keys).json()["code"] == "key_revoked"


def test_cached_key_needs_no_database(keys, settings, monkeypatch, caplog):
    def no_database(*_):
        raise OperationalError("the server has gone away")

    ask(keys)
    with connection.execute_wrapper(no_database):
        assert ask(keys).status_code == 200
        cache.clear()
        assert ask(keys).json()["code"] == "service_unavailable"

    ask(keys)
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "LAST_USED_INTERVAL": timedelta(0)}
    connection.close()
    with monkeypatch.context() as broken:
        broken.setattr(type(connections["default"]), "get_new_connection", no_database)
        assert ask(keys).status_code == 200
    assert "could not be recorded" in caplog.text


def test_keys_of_one_database_are_not_those_of_another(keys, settings, django_assert_num_queries):
    settings.DATABASE_ROUTERS = [tenants := KeysElsewhere("default")]
    ask(keys)
    assert is_cached(keys)
    tenants.alias = "replica"
    with django_assert_num_queries(1, using="replica"):
        assert not is_cached(keys)

    tenants.alias = "default"
    keys.instance.user.save()
    assert not is_cached(keys)


def test_keys_of_one_schema_are_not_those_of_another(keys, monkeypatch):
    """As django-tenants names it. Without a ``KEY_FUNCTION``, the tenants share the cache."""
    backend = type(connections["default"])
    schema = partial(monkeypatch.setattr, backend, "schema_name", raising=False)
    monkeypatch.setattr(lookup_statement, "_statements", {})
    schema("one")
    ask(keys)
    assert is_cached(keys)

    schema("other")
    assert not is_cached(keys)

    schema("one")
    assert is_cached(keys)


@pytest.mark.parametrize("due", [timedelta(0), HOUR])
def test_what_a_view_does_to_user_and_key_is_not_kept(keys, settings, due):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "LAST_USED_INTERVAL": due}
    for _ in range(3):
        with transaction.atomic():
            key = attempt(keys)
            assert (key.scopes, key.user.is_superuser) == ([], False)
            key.user.is_superuser = True
            key.scopes.append("all")


def test_entry_of_another_version_of_the_app_is_not_used(keys, monkeypatch):
    ask(keys)
    assert is_cached(keys)
    column = ApiKey._meta.get_field("rate_limit")
    monkeypatch.setattr(column, "from_db_value", lambda value, *_: value, raising=False)
    monkeypatch.setattr(lookup_statement, "_statements", {})
    assert not is_cached(keys)


def own_constructor(model, monkeypatch):
    def init(self, *args, **kwargs):
        super(model, self).__init__(*args, **kwargs)

    monkeypatch.setattr(model, "__init__", init, raising=False)


def schemas(model, monkeypatch):
    monkeypatch.setattr(type(connections["default"]), "schema_name", "one", raising=False)


@pytest.mark.parametrize("own", [None, own_constructor, schemas])
def test_only_what_neither_connects_nor_runs_the_projects_code_is_found_without_waiting(
    keys, settings, monkeypatch, own
):
    settings.CACHES = {"default": LOCAL}
    settings.DATABASE_ROUTERS = []
    monkeypatch.setattr(lookup_statement, "_statements", {})
    if own:
        own(ApiKey, monkeypatch)
    ask(keys)
    assert is_cached(keys)
    with pytest.raises(MustWait) if own else nullcontext():
        assert lookup.find(ApiKey, keys.api_key, may_wait=False).entry


def test_first_use_of_an_old_secret_is_recorded_where_waiting_is_allowed(keys, settings):
    new = generate_keys(keys.instance.user, grace=HOUR)
    settings.CACHES = {"default": LOCAL}
    settings.DATABASE_ROUTERS = []
    ask(new)
    assert is_cached(keys)
    info = info_of()
    info.may_wait = False

    with pytest.raises(MustWait):
        verify(parse(token_header(keys), "token"), info)

    assert ApiKey.objects.get().previous_used_at is None
    assert ask(keys).status_code == 200
    assert ApiKey.objects.get().previous_used_at is not None


def test_user_model_that_reads_the_password_when_made_is_not_kept(keys, monkeypatch):
    model = get_user_model()

    def init(self, *args, **kwargs):
        super(model, self).__init__(*args, **kwargs)
        self.before = (self.password, self.email)

    monkeypatch.setattr(model, "__init__", init)
    monkeypatch.setattr(lookup_statement, "_statements", {})
    for _ in range(3):
        assert ask(keys).status_code == 200
    assert not is_cached(keys)


def test_serializer_that_gives_back_something_else_is_reported(keys, settings, caplog):
    settings.CACHES = {"default": {"BACKEND": "tests.caches.JSONCache"}}
    for _ in range(3):
        assert ask(keys).json() == {"message": "ada"}
    assert "serializer must preserve tuples" in caplog.text


def test_cache_in_the_database_is_refused(keys):
    backend = "django.core.cache.backends.db.DatabaseCache"
    in_database = {"default": {"BACKEND": backend, "LOCATION": "cache_table"}}
    with (
        override_settings(CACHES=in_database),
        pytest.raises(ImproperlyConfigured, match="must not be 'default'"),
    ):
        ask(keys)


def test_what_is_cached_is_read_where_it_is_written(keys, settings, django_assert_num_queries):
    settings.DATABASE_ROUTERS = [Replicas()]
    with django_assert_num_queries(0, using="replica"):
        found = find(keys)
        assert found.key._state.db == "default"
        found.store(math.inf)
        found = find(keys)
        keys.instance.user.save()
    assert found.entry
    assert (found.key._state.db, found.key.user._state.db) == ("default", "default")


@pytest.mark.parametrize(
    ("name", "caches"),
    [("read committed", True), ("repeatable read", False), ("serializable", False)],
)
def test_transaction_with_an_older_snapshot_puts_nothing_into_the_cache(name, caches):
    twin = connection.copy()
    options = twin.settings_dict["OPTIONS"]
    if connection.vendor == "postgresql":
        level = name.upper().replace(" ", "_")
        options["isolation_level"] = import_module("psycopg").IsolationLevel[level]
    elif connection.vendor == "mysql":
        options["isolation_level"] = name
    with closing(twin):
        twin.connect()
        assert _reads_latest_commit(twin)
        twin.set_autocommit(False)
        assert _reads_latest_commit(twin) is (caches and connection.vendor != "sqlite")


class Level(Enum):
    """As psycopg names them."""

    READ_COMMITTED = 2
    REPEATABLE_READ = 3


@pytest.mark.parametrize(
    ("level", "is_latest"),
    [
        ("read committed", True),
        ("repeatable read", False),
        (Level.READ_COMMITTED, True),
        (Level.REPEATABLE_READ, False),
        (None, False),
    ],
)
def test_isolation_level_is_known_by_each_drivers_name_of_it(level, is_latest):
    with closing(connection.copy()) as twin:
        twin.connect()
        twin.set_autocommit(False)
        twin.isolation_level = level
        assert _reads_latest_commit(twin) is is_latest


def test_request_in_a_transaction_is_cached_where_it_sees_what_is_committed(keys):
    with transaction.atomic():
        ask(keys)
    # The use is written at the end of the transaction, and the entry with it.
    assert is_cached(keys) is (connection.vendor != "sqlite")
