from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from frappe_tokens.keys import generate_keys, generate_keys_for_users
from frappe_tokens.keys.actors import Actor
from frappe_tokens.lookup import find
from frappe_tokens.lookup.statement import statement_for
from frappe_tokens.models import ApiKey
from tests.conftest import PASSWORD, token_header
from tests.custom_user.models import Account, Employee, Person
from tests.instances import deferred, described, unread
from tests.rest.conftest import works

pytestmark = pytest.mark.django_db

WHO = "/api/method/frappe.auth.get_logged_user"
GENERATE = "/api/method/frappe.core.doctype.user.user.generate_keys"


@pytest.fixture
def person(make_user):
    return make_user("ada@example.com")


@pytest.fixture
def manager(make_user):
    manager = make_user("manager@example.com")
    manager.groups.add(Group.objects.get(name="System Manager"))
    return manager


@pytest.mark.django_db(transaction=True)
def test_authenticates_by_each_scheme_and_by_a_session(person, header_of, statements):
    headers = {"authorization": header_of(generate_keys(person))}
    with statements() as verbs:
        assert Client().get(WHO, headers=headers).json() == {"message": "ada@example.com"}
    assert verbs == ["SELECT", "UPDATE"]
    client = Client()
    assert client.login(email="ada@example.com", password=PASSWORD)
    assert client.get(WHO).json() == {"message": "ada@example.com"}


def test_users_are_mailed_about_their_keys(person, manager, mailoutbox):
    for user in (person, manager):
        generate_keys(user, expires_at=timezone.now() + timedelta(hours=12))

    call_command("notify_keys", verbosity=0)

    assert sorted(mail.to for mail in mailoutbox) == [["ada@example.com"], ["manager@example.com"]]


def test_generates_by_email(manager, person):
    def generate(user):
        headers = {"authorization": token_header(generate_keys(manager))}
        return Client().post(GENERATE, {"user": user}, headers=headers)

    message = generate("ada@example.com").json()["message"]

    key = ApiKey.objects.get(api_key=message["api_key"])
    assert (key.user, key.created_by) == (person, manager)
    assert works(**message)
    assert generate("nobody@example.com").status_code == 404


def test_generates_for_many(manager, make_user):
    people = [make_user(f"person{number}@example.com") for number in range(5)]
    for _ in range(2):
        made = generate_keys_for_users(people, by=Actor(manager))
        stored = ApiKey.objects.in_bulk([keys.instance.pk for keys in made])
        for person, keys in zip(people, made, strict=True):
            key = stored[keys.instance.pk]
            assert (key.user, key.created_by) == (person, manager)
            assert (key.api_key, key.secret_digest) == (keys.api_key, keys.instance.secret_digest)
    assert ApiKey.objects.count() == 5


@pytest.fixture
def remembered(person):
    """Keys of a person with something in every column."""
    person.nickname, person.preferences = "Ada", {"dark": True}
    person.birthday = date(1815, 12, 10)
    person.save()
    return generate_keys(person)


def test_lookup_brings_what_a_queryset_brings(remembered):
    statement = statement_for(ApiKey, connection.alias)
    assert statement is not None
    plain = ApiKey.objects.select_related("user").get()
    row = statement.fetch(connection, remembered.api_key)
    assert row is not None
    fetched = statement.instance(row)
    restored = statement.factory(statement.columns_to_cache(row))()
    assert deferred(fetched) == (unread(ApiKey), set())
    assert deferred(restored) == (unread(ApiKey), {"password"})
    assert described(fetched) == described(restored) == described(plain)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [Account, Person, Employee])
def test_saving_a_related_model_ends_the_cached_key(remembered, settings, model):
    settings.FRAPPE_TOKENS = {"CACHE": "default"}
    employee = Employee(person_ptr=remembered.instance.user, number="E-7")
    employee.save_base(raw=True)  # without the tables that it extends
    cache.clear()
    headers = {"authorization": token_header(remembered)}
    for _ in range(2):
        assert Client().get(WHO, headers=headers).status_code == 200
    found = find(ApiKey, remembered.api_key)
    assert found is not None
    assert found.entry
    saved = model._base_manager.get(email=remembered.instance.user.email)
    saved.is_active = False
    saved.save()
    assert Client().get(WHO, headers=headers).json()["code"] == "user_inactive"
    cache.clear()


@pytest.mark.parametrize(
    ("name", "is_protected"),
    [
        ("custom_user.change_person", True),
        ("custom_user.change_account", True),  # the table that the user model extends
        ("custom_user.change_employee", True),  # what extends the user model
        ("custom_user.add_role", True),
        ("auth.change_group", True),
        ("custom_user.change_note", False),
        ("custom_user.pin_note", False),
    ],
)
def test_user_who_can_change_what_others_may_do_is_protected(
    manager, make_user, name, is_protected
):
    user = make_user("worker@example.com", permissions=(name,))

    assert Actor(manager).may_manage(user) is not is_protected


def test_permission_that_no_model_declares_protects_in_the_app_of_the_user_model(manager, person):
    content_type = ContentType.objects.get_for_model(Person)
    person.user_permissions.create(codename="impersonate", content_type=content_type)

    assert not Actor(manager).may_manage(person)
