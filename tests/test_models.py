from importlib import import_module
from io import StringIO
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from frappe_tokens import crypto
from frappe_tokens.base_models import (
    AbstractApiKey,
    validate_networks,
    validate_rate,
    validate_scopes,
)
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey, SentNotice

from .client import NOON

pytestmark = pytest.mark.django_db


def refused_by_the_database(change):
    try:
        with transaction.atomic():
            change()
    except IntegrityError:
        return True
    return False


# Constraints


def test_api_key_is_unique_among_revoked_ones_too(keys, user):
    copy = {"user": user, "name": "copy", "api_key": keys.api_key}
    assert refused_by_the_database(lambda: ApiKey.objects.create(**copy))
    revoke(keys.instance)
    assert refused_by_the_database(lambda: ApiKey.objects.create(**copy))


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"api_key": ""}, True),
        ({"api_key": None}, True),
        ({"user": None}, True),
        ({"previous_digest": "sha256$0", "previous_expires_at": None}, True),
        ({"previous_digest": "", "previous_expires_at": NOON}, True),
        ({"previous_digest": None, "previous_expires_at": None}, True),
        ({"previous_digest": None, "previous_expires_at": NOON}, True),
        ({"previous_digest": "sha256$0", "previous_expires_at": NOON}, False),
        ({"live": True, "revoked_at": NOON}, True),
        ({"live": False, "revoked_at": None}, True),
        ({"live": False, "revoked_at": NOON}, True),
        ({"live": None, "revoked_at": None}, True),
        ({"live": None, "revoked_at": NOON}, False),
    ],
)
def test_database_refuses_values_that_contradict_each_other(keys, values, refused):
    assert refused_by_the_database(lambda: ApiKey.objects.update(**values)) is refused


@pytest.mark.parametrize("name", ["", "backup"])
def test_one_live_key_of_a_name(user, make_user, name):
    ApiKey.objects.create(user=user, name=name)
    assert refused_by_the_database(lambda: ApiKey.objects.create(user=user, name=name))
    ApiKey.objects.create(user=make_user("grace"), name=name)
    ApiKey.objects.create(user=user, name="other")


def test_names_differ_by_case_and_accents(user):
    for name in ("resume", "Resume", "r\u00e9sum\u00e9", "\u20ac \U0001f511"):
        ApiKey.objects.create(user=user, name=name)
        assert ApiKey.objects.get(name=name).name == name
    assert ApiKey.objects.filter(name="resume").count() == 1


def test_form_says_that_the_name_is_taken(user, keys):
    with pytest.raises(ValidationError, match="has an API key with this name"):
        ApiKey(user=user).full_clean()
    revoke(keys.instance)
    ApiKey(user=user).full_clean()


# Fields


def test_longest_values_fit(user, settings):
    peppers = ["a pepper that is long enough for HMAC"]
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers, "KEY_PREFIX": "k" * 20}
    keys = generate_keys(user, name="n" * 100)

    ApiKey.objects.update(api_key="k" * 64, last_used_ip="2001:db8:1111:2222:3333:4444:5555:6666")

    stored = ApiKey.objects.get()
    assert stored.api_key == "k" * 64
    assert crypto.matches(keys.api_secret, stored.secret_digest)


def test_new_keys_default_to_a_generated_api_key_and_no_secret():
    key = ApiKey()
    assert key.api_key.startswith("ftk_")
    assert (key.secret_digest, key.previous_digest, key.live) == ("", "", True)


def test_text_of_a_key_is_its_name_and_api_key(user):
    assert str(ApiKey(user=user, api_key="ftk_1")) == "ftk_1"
    assert str(SentNotice(kind="unused", api_key="ftk_1")) == "unused ftk_1"
    assert str(ApiKey(user=user, api_key="ftk_1", name="backup")) == "backup (ftk_1)"
    assert repr(ApiKey(user=user, api_key="ftk_1")) == "<ApiKey: ftk_1>"
    assert AbstractApiKey.__str__(ApiKey(api_key="ftk_1", name="backup")) == "ftk_1"


def test_forms_edit_nothing_of_the_credential():
    editable = {field.name for field in ApiKey._meta.get_fields() if getattr(field, "editable", 0)}
    credential = {"api_key", "secret_digest", "previous_digest", "previous_expires_at"}
    record = {"live", "revoked_at", "created_at", "created_by", "last_used_at"}

    assert editable & (credential | record) == set()


def test_keys_go_with_their_user_and_outlive_those_who_made_and_revoked_them(make_user):
    owner, maker = make_user("owner"), make_user("maker")
    key = generate_keys(owner).instance
    ApiKey.objects.update(created_by=maker, revoked_by=maker)
    maker.delete()
    key.refresh_from_db()
    assert (key.created_by, key.revoked_by) == (None, None)
    owner.delete()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("vendor", ["mysql", "sqlite", "postgresql"])
def test_collation_is_named_where_the_default_is_not_exact(monkeypatch, vendor):
    monkeypatch.setattr(connection, "vendor", vendor)
    parameters = ApiKey._meta.get_field("api_key").db_parameters(connection)
    if vendor == "mysql":
        assert parameters["collation"] == "utf8mb4_bin"
        assert parameters["type"].endswith("CHARACTER SET utf8mb4")
    else:
        assert parameters["collation"] is None


# Validators


VALID = [
    (validate_scopes, [[], ["todo"], ["todo:read", "a.b-c_d/e", "!"]]),
    (validate_networks, [[], ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"]]),
    (validate_rate, ["1/s", "100/minute", "5/h", "9/day"]),
]
INVALID = [
    (validate_scopes, ["todo", None, {"todo": 1}, [1], [None]]),
    (validate_scopes, [[scope] for scope in ("", "a b", '"', "\\", "\x00", "\u00e9")]),
    (validate_networks, ["::", None, [1], ["host"]]),
    (validate_rate, ["", "1/year"]),
]


def test_validators_accept_valid_values():
    for validate, values in VALID:
        for value in values:
            validate(value)


@pytest.mark.parametrize(
    ("validate", "value"), [(validate, value) for validate, values in INVALID for value in values]
)
def test_validators_refuse_other_values(validate, value):
    with pytest.raises(ValidationError):
        validate(value)


# Migrations


def test_migrations_match_the_models(settings):
    settings.DATABASE_ROUTERS = []  # with one, Django would ask the database
    output = StringIO()
    call_command("makemigrations", "frappe_tokens", check=True, dry_run=True, stdout=output)
    assert "No changes" in output.getvalue()


@pytest.fixture
def forget_app(transactional_db):
    """The database as it was before the app: neither tables, nor group, nor permission."""
    get_user_model()._default_manager.all().delete()
    call_command("migrate", "frappe_tokens", "zero", verbosity=0)
    Group.objects.all().delete()
    Permission.objects.filter(content_type__app_label="frappe_tokens").delete()
    apps.get_model("contenttypes", "ContentType").objects.filter(app_label="frappe_tokens").delete()
    yield
    call_command("migrate", verbosity=0)


def test_migrate_makes_the_group_of_those_who_may_generate_keys_once(forget_app, make_user):
    assert "frappe_tokens_apikey" not in connection.introspection.table_names()
    call_command("migrate", verbosity=0)

    group = Group.objects.get(name="System Manager")
    permission = group.permissions.get()
    found = (permission.content_type.app_label, permission.codename, permission.name)
    assert found == ("frappe_tokens", "generate_keys", "Can generate API keys")
    assert Permission.objects.filter(codename="generate_keys").count() == 1

    member = make_user("ada")
    member.groups.add(group)
    assert member.has_perm("frappe_tokens.generate_keys")

    group.permissions.clear()
    call_command("migrate", verbosity=0)
    assert not group.permissions.exists()
    group.delete()
    call_command("migrate", verbosity=0)
    assert not Group.objects.exists()


def test_group_that_is_there_already_is_taken(forget_app):
    group = Group.objects.create(name="System Manager")
    call_command("migrate", verbosity=0)
    assert Group.objects.get() == group
    assert group.permissions.get().codename == "generate_keys"


class NoGroupsHere:
    def allow_migrate(self, db, app_label, **hints):
        return app_label != "auth"


def test_no_group_is_made_in_a_database_that_has_none(settings):
    Group.objects.all().delete()
    settings.DATABASE_ROUTERS = [NoGroupsHere()]
    migration = import_module("frappe_tokens.migrations.0002_system_manager")
    editor = SimpleNamespace(connection=connection)
    migration.make_group(apps, editor)
    assert not Group.objects.exists()
    settings.DATABASE_ROUTERS = []
    migration.make_group(apps, editor)
    assert Group.objects.get().name == "System Manager"


@pytest.mark.parametrize("name", ["update", "bulk_create"])
def test_templates_change_no_keys(name):
    assert getattr(ApiKey.objects.all(), name).alters_data
