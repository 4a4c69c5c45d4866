import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, models
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init
from django.db.models.sql.compiler import SQLCompiler
from django.test import override_settings

from frappe_tokens import crypto, lookup
from frappe_tokens.lookup import statement as statements
from frappe_tokens.lookup.statement import LookupStatement, statement_for
from frappe_tokens.models import ApiKey

from .client import NOON
from .instances import deferred, described, unread
from .sources.models import Drone, Gauge, Meter, Robot, Sensor

pytestmark = pytest.mark.django_db

MOMENT = NOON + timedelta(microseconds=123456)
PREPARED = [ApiKey, Robot, Drone, Sensor]


def full(model, user):
    """A key with something in every column."""
    user.last_login = MOMENT
    user.save()
    own = {
        ApiKey: {"name": "Schlüssel"},
        Drone: {"range": timedelta(hours=2), "serial_number": 12},
        Sensor: {"position": {"floor": 3, "room": ["north", None]}},
    }
    columns = {
        "user": user,
        "secret_digest": crypto.make_digest("new"),
        "previous_digest": crypto.make_digest("old"),
        "previous_expires_at": MOMENT,
        "previous_used_at": MOMENT,
        "scopes": ["todos", "events"],
        "read_only": True,
        "allowed_ips": ["192.0.2.0/24", "2001:db8::/32"],
        "rate_limit": "100/minute",
        "expires_at": MOMENT + timedelta(days=1),
        "revoked_by": user,
        "revoked_reason": "it leaked",
        "last_used_at": MOMENT,
        "last_used_ip": "2001:db8::1",
        "created_by": user,
        "rotated_at": MOMENT,
    }
    return model._base_manager.create(**columns, **own.get(model, {}))


def by_queryset(model, api_key):
    return model._default_manager.select_related("user").get(api_key=api_key)


def by_statement(model, api_key):
    statement = statement_for(model, connection.alias)
    row = statement.fetch(connection, api_key)
    return row and statement.instance(row)


def user_hash(model, api_key):
    user = by_queryset(model, api_key).user
    return user.password if user else "no user, no hash"


def by_cache(model, api_key):
    statement = statement_for(model, connection.alias)
    row = statement.fetch(connection, api_key)
    kept = statement.columns_to_cache(row)
    assert user_hash(model, api_key) not in kept
    return statement.factory(kept)()


def empty(model, user):
    return model._base_manager.create(user=user)


@pytest.mark.parametrize("make", [full, empty])
@pytest.mark.parametrize("model", PREPARED)
def test_brings_what_a_queryset_brings(model, make, user, django_assert_num_queries):
    key = make(model, user)
    plain = described(by_queryset(model, key.api_key))
    statement_for(model, "default")

    with django_assert_num_queries(1):
        found = by_statement(model, key.api_key)
        assert found.user == user
        assert model is not Sensor or found.user.sensor is found
    restored = by_cache(model, key.api_key)

    assert deferred(found) == (unread(model), set())
    assert deferred(restored) == (unread(model), {"password"})
    assert described(found) == described(restored) == plain


def test_brings_a_key_without_a_user():
    key = Sensor.objects.create(position=[1, 2])

    found, restored = by_statement(Sensor, key.api_key), by_cache(Sensor, key.api_key)

    assert found.user is restored.user is None
    plain = described(by_queryset(Sensor, key.api_key))
    assert described(found) == described(restored) == plain


def own_from_db(model, patch, seen):
    def from_db(cls, db, field_names, values, **more):
        seen.append(list(field_names))
        return super(model, cls).from_db(db, field_names, values, **more)

    patch.setattr(model, "from_db", classmethod(from_db), raising=False)


def own_init(model, patch, seen):
    def init(self, *args, **kwargs):
        super(model, self).__init__(*args, **kwargs)
        seen.append([name for name in self.__dict__ if name != "_state"])

    patch.setattr(model, "__init__", init, raising=False)


def own_column(model, patch, seen):
    class Column(DeferredAttribute):
        def __set__(self, instance, value):
            seen.append([field.attname for field in model._meta.concrete_fields])
            instance.__dict__[self.field.attname] = value

    name = model._meta.pk.attname
    patch.setattr(model, name, Column(model._meta.pk))


def listener(model, patch, seen):
    def note(instance, **_):
        seen.append([name for name in instance.__dict__ if name != "_state"])

    patch.setattr(post_init, "receivers", list(post_init.receivers))
    post_init.connect(note, sender=model, weak=False)
    patch.setattr(post_init, "sender_receivers_cache", weakref.WeakKeyDictionary())


@pytest.mark.parametrize("way", [own_from_db, own_init, own_column, listener])
@pytest.mark.parametrize("which", ["key", "user"])
def test_models_that_make_their_instances_in_their_own_way_do(keys, monkeypatch, way, which):
    model = ApiKey if which == "key" else get_user_model()
    monkeypatch.setattr(statements, "_statements", {})
    seen = []
    way(model, monkeypatch, seen)

    plain = described(by_queryset(ApiKey, keys.api_key))
    seen.clear()
    found = by_statement(ApiKey, keys.api_key)
    # Whole, as what they do may need every column.
    assert seen == [[field.attname for field in model._meta.concrete_fields]]
    unread_columns = set() if which == "key" else unread(ApiKey)
    assert deferred(found) == (unread_columns, set())
    assert described(found) == plain
    if which == "key" or way is own_column:
        restored = by_cache(ApiKey, keys.api_key)
        assert deferred(restored) == (unread_columns, {"password"})
        assert described(restored) == plain


@pytest.mark.parametrize("model", [Meter, Gauge])
def test_model_with_querysets_of_its_own_is_looked_up_through_them(user, make_user, caplog, model):
    caplog.set_level("INFO", "frappe_tokens")
    statements._statements.pop((model, "default"), None)
    key = Robot.objects.create(user=user)

    found = lookup.find(model, key.api_key)

    assert described(found.key) == described(by_queryset(model, key.api_key))
    assert "looked up through a queryset" in caplog.text
    scrapped = Robot.objects.create(user=make_user("grace"), serial_number=0)
    assert (lookup.find(model, scrapped.api_key) is None) is (model is Meter)


def test_statement_is_compiled_once_for_each_database():
    first = statement_for(ApiKey, "default")
    assert statement_for(ApiKey, "default") is first is not None
    assert statement_for(ApiKey, "replica") is not first


def test_statement_holds_no_connection_of_a_thread(monkeypatch):
    monkeypatch.setattr(statements, "_statements", {})

    def compile_in_thread():
        assert statement_for(ApiKey, "default") is not None
        return weakref.ref(connections["default"])

    with ThreadPoolExecutor(1) as thread:
        connection_of_thread = thread.submit(compile_in_thread).result()

    gc.collect()
    assert connection_of_thread() is None


def test_connection_that_cannot_be_copied_is_served_by_a_queryset(keys, monkeypatch):
    monkeypatch.setattr(statements, "_statements", {})
    monkeypatch.setitem(connection.settings_dict, "LOCK", threading.Lock())

    found = lookup.find(ApiKey, keys.api_key)

    assert statement_for(ApiKey, "default") is None
    assert found.key == keys.instance


@pytest.mark.parametrize("other", [{"USE_TZ": False}, {"TIME_ZONE": "Asia/Tokyo"}])
def test_settings_that_are_compiled_in_count_at_once(user, settings, other):
    key = full(ApiKey, user)
    by_statement(ApiKey, key.api_key)
    for name, value in other.items():
        setattr(settings, name, value)
    assert described(by_statement(ApiKey, key.api_key)) == described(
        by_queryset(ApiKey, key.api_key)
    )


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
@pytest.mark.parametrize("name", ["DATABASES", "TIME_ZONE", "USE_TZ", "USE_I18N"])
def test_statement_is_compiled_again_after_a_setting_that_it_may_depend_on(name, settings):
    before = statement_for(ApiKey, "default")
    with override_settings(**{name: getattr(settings, name)}):
        is_same = statement_for(ApiKey, "default") is before
    assert is_same is (name == "USE_I18N")


class MoreParameters(SQLCompiler):
    def as_sql(self):
        sql, parameters = super().as_sql()
        return f"{sql} AND 1 = %s", (*parameters, 1)


class Percent(SQLCompiler):
    def as_sql(self):
        sql, parameters = super().as_sql()
        return sql.replace("rate_limit", "rate_limit%"), parameters


class OtherOrder(SQLCompiler):
    def get_default_columns(self, *args, **kwargs):
        return super().get_default_columns(*args, **kwargs)[::-1]


@pytest.mark.parametrize(
    ("compiler", "why"),
    [
        (MoreParameters, "parameters other than"),
        (OtherOrder, "doesn't return the columns"),
        (Percent, "percent sign"),
    ],
)
def test_backend_that_compiles_something_else_has_no_statement(monkeypatch, compiler, why):
    twin = connection.copy()
    monkeypatch.setattr(twin.ops, "compiler", lambda *_: compiler)

    with pytest.raises(ValueError, match=why):
        LookupStatement(ApiKey, twin)


def decrypt(value, *_):
    return value and f"decrypted {value}"


# Methods of built-in classes belong to no module.
@pytest.mark.parametrize("function", [decrypt, "decrypted {}".format, decrypt.__call__])
def test_field_that_may_decrypt_is_not_cached(user, monkeypatch, function):
    key = ApiKey.objects.create(user=user, rate_limit="cipher")
    monkeypatch.setattr(statements, "_statements", {})
    column = ApiKey._meta.get_field("rate_limit")
    monkeypatch.setattr(column, "from_db_value", function, raising=False)

    assert by_statement(ApiKey, key.api_key).rate_limit == "decrypted cipher"
    cached = by_cache(ApiKey, key.api_key)
    assert "rate_limit" in cached.get_deferred_fields()
    assert cached.rate_limit == "decrypted cipher"


def test_field_converts_by_its_column_and_connection(keys, monkeypatch):
    def from_db_value(value, expression, connection):
        return f"{expression.target.name} in {connection.alias}"

    monkeypatch.setattr(statements, "_statements", {})
    column = ApiKey._meta.get_field("rate_limit")
    monkeypatch.setattr(column, "from_db_value", from_db_value, raising=False)

    assert by_statement(ApiKey, keys.api_key).rate_limit == "rate_limit in default"


def test_primary_keys_of_the_projects_own_kind_are_cached(keys, monkeypatch):
    pk = get_user_model()._meta.pk
    monkeypatch.setattr(statements, "_statements", {})
    monkeypatch.setattr(pk, "from_db_value", lambda value, *_: value, raising=False)

    assert by_cache(ApiKey, keys.api_key).user == keys.instance.user


def test_row_that_a_careless_collation_finds_is_not_the_key(user):
    statement = LookupStatement(ApiKey, connection.copy())
    # As if the column did not distinguish cases.
    select, where = statement._sql.split(" WHERE ")
    statement._sql = f"{select} WHERE LOWER({where.split(' = ')[0]}) = LOWER(%(api_key)s)"
    for name in ("ftk_MiXeD", "ftk_mixed"):
        key = ApiKey.objects.create(user=user, name=name, api_key=name)
        assert statement.instance(statement.fetch(connection, name)) == key
    assert statement.fetch(connection, "ftk_MIXED") is None


def test_queryset_does_not_trust_the_collation_either(user, monkeypatch):
    mixed = Robot.objects.create(user=user, api_key="ftk_MiXeD")
    lower = Robot.objects.create(user=user, api_key="ftk_mixed")
    monkeypatch.setattr(models.QuerySet, "filter", lambda keys, **_: keys.all())
    found = {api_key: lookup.find(Gauge, api_key) for api_key in ("ftk_MiXeD", "ftk_mixed", "ftk_")}
    assert [known and known.key.pk for known in found.values()] == [mixed.pk, lower.pk, None]
