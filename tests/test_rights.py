"""Managers can't manage the keys of users who have more rights."""

import pytest
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied

from frappe_tokens.keys import change_key, generate_keys
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

from .replicas import NoReplica

pytestmark = pytest.mark.django_db

KEYS = "frappe_tokens.generate_keys"


@pytest.fixture
def manager(make_user):
    """Has only the permission to generate keys."""
    return Actor(make_user("manager", permissions=(KEYS,)))


@pytest.fixture
def helpdesk(make_user):
    """Could make anyone a superuser in Django's admin."""
    return make_user("helpdesk", is_staff=True, permissions=("auth.change_user",))


# The rule


PROTECTED = ["auth.view_user", "auth.change_user", "auth.add_group", "auth.change_permission"]
PROTECTED += ["contenttypes.delete_contenttype", "sessions.view_session", "authtoken.view_token"]
PROTECTED += ["authtoken.add_tokenproxy", "frappe_tokens.view_apikey", "sources.add_drone"]
PROTECTED += ["frappe_tokens.view_apirequestlog", "events.change_eventconsumer"]
PROTECTED += ["oauth2_provider.change_application", "oauth2_provider.view_accesstoken"]


def test_users_who_can_change_what_others_may_do_are_protected(make_user, manager):
    may_manage = {}
    for name in PROTECTED:
        mighty = make_user(f"mighty {name}", permissions=(name,))
        equal = Actor(make_user(f"equal {name}", permissions=(KEYS, name)))
        may_manage[name] = (manager.may_manage(mighty), equal.may_manage(mighty))

    assert may_manage == dict.fromkeys(PROTECTED, (False, True))


def test_protected_user_is_compared_by_every_permission(make_user):
    mighty = make_user("mighty", permissions=("auth.view_user", "todos.delete_todo"))
    manager = Actor(make_user("manager", permissions=(KEYS, "auth.view_user")))

    assert not manager.may_manage(mighty)


@pytest.mark.parametrize(("app_label", "is_protected"), [("auth", True), ("todos", False)])
def test_permission_that_no_model_declares_counts_as_others_of_its_app(
    make_user, manager, app_label, is_protected
):
    models = ContentType.objects.filter(app_label=app_label)
    permission = Permission.objects.create(codename="do.anything", content_type=models[0])
    holder = make_user("holder")
    holder.user_permissions.add(permission)

    assert manager.may_manage(holder) is not is_protected


def test_user_with_ordinary_permissions_is_not_protected(make_user, manager):
    worker = make_user("worker", permissions=("todos.delete_todo", "events.add_event"))

    assert manager.may_manage(worker)


def test_only_staff_may_manage_staff(make_user, manager):
    """Some views ask for nothing else."""
    clerk = make_user("clerk", is_staff=True, permissions=("todos.add_todo",))
    staff = Actor(make_user("chief", is_staff=True, permissions=(KEYS,)))

    assert not manager.may_manage(clerk)
    assert not staff.may_manage(clerk)
    staff = Actor(make_user("boss", is_staff=True, permissions=(KEYS, "todos.add_todo")))
    assert staff.may_manage(clerk)


def test_only_a_superuser_may_manage_a_superuser(make_user, manager):
    root = make_user("root", is_superuser=True)
    everything = Actor(make_user("everything", is_staff=True))
    everything.user.user_permissions.set(Permission.objects.all())

    assert not manager.may_manage(root)
    assert not everything.may_manage(root)
    assert Actor(root).may_manage(root)
    assert Actor(root).may_manage(everything.user)


def test_manager_manages_their_own_and_unowned_keys(make_user, manager):
    chief = Actor(make_user("chief", is_staff=True, permissions=(KEYS, "auth.change_user")))

    assert chief.may_manage(chief.user)
    assert manager.may_manage(None)


# Inactive users


def test_inactive_user_is_protected_as_if_active(make_user, manager, helpdesk):
    User.objects.update(is_active=False)
    helpdesk.refresh_from_db()
    worker = User.objects.create(username="worker", is_active=False)

    assert not manager.may_manage(helpdesk)
    assert manager.may_manage(worker)
    assert not helpdesk.is_active


def test_key_of_an_inactive_administrator_is_not_widened(system_manager, helpdesk):
    key = generate_keys(helpdesk, read_only=True).instance
    User.objects.filter(pk=helpdesk.pk).update(is_active=False)

    with pytest.raises(PermissionDenied, match="permissions that you don't have"):
        change_key(key, read_only=False, by=Actor(system_manager))
    assert ApiKey.objects.get().read_only


def test_inactive_user_whose_model_computes_the_activity_is_protected(
    make_user, manager, monkeypatch
):
    leaver, worker = make_user("leaver"), make_user("worker")
    monkeypatch.setattr(User, "is_active", property(lambda user: user.username != "leaver"))

    assert not manager.may_manage(leaver)
    assert manager.may_manage(worker)


# Other backends and user models


class AnswersOnly(BaseBackend):
    """Answers for permissions, and lists none."""

    def has_perm(self, user_obj, perm, obj=None):
        return bool(user_obj.username == "mighty" and perm == "auth.change_user")


class Remembers(ModelBackend):
    """Remembers, as Django's own does, but also that an inactive user has none."""

    cache = "_perm_cache"

    def get_all_permissions(self, user_obj, obj=None):
        if user_obj.username == "manager":
            return super().get_all_permissions(user_obj, obj)
        if not hasattr(user_obj, self.cache):
            mighty = user_obj.is_active and user_obj.username == "mighty"
            setattr(user_obj, self.cache, {"auth.change_user"} if mighty else set())
        return getattr(user_obj, self.cache)


class RemembersOfUsers(Remembers):
    cache = "_user_perm_cache"


class RemembersOfGroups(Remembers):
    cache = "_group_perm_cache"


def test_permission_that_a_backend_does_not_list_counts(make_user, manager, settings):
    settings.AUTHENTICATION_BACKENDS = [
        *settings.AUTHENTICATION_BACKENDS,
        f"{__name__}.AnswersOnly",
    ]
    users = [make_user("mighty"), make_user("worker")]

    manager.preload(users)

    assert [manager.may_manage(user) for user in users] == [False, True]


@pytest.mark.parametrize("backend", [Remembers, RemembersOfUsers, RemembersOfGroups])
def test_cached_permissions_of_an_inactive_user_are_ignored(make_user, manager, settings, backend):
    assert manager.may_generate
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.{backend.__name__}"]
    users = [make_user(name, is_active=False) for name in ("mighty", "worker")]
    assert [user.get_all_permissions() for user in users] == [set(), set()]

    assert [manager.may_manage(user) for user in users] == [False, True]


class Missing:
    def __get__(self, *arguments):
        raise AttributeError

    def __set__(self, *arguments):
        raise AttributeError


def test_user_model_that_lists_no_permissions_keeps_working(
    make_user, manager, helpdesk, monkeypatch
):
    mighty = make_user("mighty", permissions=("auth.change_group",))
    worker = make_user("worker", permissions=("todos.add_todo",))
    monkeypatch.setattr(User, "get_all_permissions", Missing(), raising=False)
    users = [helpdesk, mighty, worker]

    manager.preload(users)

    assert [manager.may_manage(user) for user in users] == [False, False, True]


def test_user_model_that_grants_every_permission(make_user, monkeypatch):
    """As the one in Django's documentation of custom user models, which has no superusers."""
    one, other, clerk = make_user("one"), make_user("other"), make_user("clerk", is_staff=True)
    monkeypatch.setattr(User, "has_perm", lambda *arguments: True, raising=False)
    for name in ("get_all_permissions", "is_superuser"):
        monkeypatch.setattr(User, name, Missing(), raising=False)
    by = Actor(one)

    by.preload([other, clerk])

    assert by.may_manage(other)
    assert not by.may_manage(clerk)


def test_user_model_without_staff_has_users_who_are_not_protected(make_user, manager, monkeypatch):
    worker = make_user("worker")
    monkeypatch.setattr(User, "is_staff", Missing())

    assert manager.may_manage(worker)


def test_user_model_that_keeps_its_permissions_does_not_lose_one(make_user, manager, monkeypatch):
    kept = {"frappe_tokens.manage_own_keys"}
    monkeypatch.setattr(User, "get_all_permissions", lambda user: kept)

    assert manager.may_manage(make_user("worker"))
    assert kept == {"frappe_tokens.manage_own_keys"}


# Many users


def test_permissions_of_one_user_take_two_queries(make_user, manager, django_assert_num_queries):
    worker = make_user("worker", permissions=("todos.add_todo",))
    worker.groups.add(Group.objects.create(name="Readers"))
    assert manager.may_generate

    with django_assert_num_queries(2):
        manager.preload([worker])
        assert manager.may_manage(worker)


def test_permissions_are_read_where_the_users_are(make_user, manager, helpdesk, settings):
    users = [helpdesk, make_user("worker")]
    assert manager.may_generate
    settings.DATABASE_ROUTERS = [NoReplica()]

    manager.preload(users)

    assert [manager.may_manage(user) for user in users] == [False, True]


def test_permissions_of_many_users_are_read_at_once(
    make_user, manager, helpdesk, django_assert_num_queries
):
    readers, operators = Group.objects.create(name="Readers"), Group.objects.create(name="Op")
    readers.permissions.add(Permission.objects.get(codename="view_todo"))
    operators.permissions.add(Permission.objects.get(codename="change_user"))
    for name, groups in {"reader": [readers], "operator": [readers, operators]}.items():
        make_user(name).groups.add(*groups)
    make_user("operator-on-leave", is_active=False).groups.add(operators)
    make_user("root", is_superuser=True)
    make_user("worker", permissions=("todos.add_todo",))
    users = [*User.objects.order_by("pk"), None]
    assert manager.may_generate

    with django_assert_num_queries(3):
        manager.preload(users)
        managed = [user.username for user in users if user and manager.may_manage(user)]

    assert managed == ["manager", "reader", "worker"]
    for user in users[:-1]:
        fresh = User.objects.get(pk=user.pk)
        assert user.get_all_permissions() == fresh.get_all_permissions()
        assert Actor(manager.user).may_manage(fresh) is (user.username in managed)
