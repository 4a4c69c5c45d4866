"""Disabling a key for a while, and enabling it again."""

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied, ValidationError

from frappe_tokens.base_models import KeyState
from frappe_tokens.keys import (
    disable,
    enable,
    generate_keys,
    generate_keys_for_source,
    plan_for,
    revoke,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import key_disabled, key_enabled

from .conftest import receiving
from .sources.models import Robot

pytestmark = pytest.mark.django_db


def test_key_is_disabled_and_enabled_again(keys, system_manager):
    by = Actor(system_manager)

    disabled = [disable(keys.instance, by=by), disable(keys.instance, by=by)]

    stored = ApiKey.objects.get()
    assert disabled == [True, False]
    assert (stored.state, stored.disabled_by) == (KeyState.DISABLED, system_manager)

    enabled = [enable(keys.instance, by=by), enable(keys.instance, by=by)]

    stored = ApiKey.objects.get()
    assert enabled == [True, False]
    assert (stored.state, stored.disabled_at, stored.disabled_by) == (KeyState.ACTIVE, None, None)


@pytest.mark.parametrize("change", [disable, revoke])
def test_refusal_names_the_missing_permission(keys, make_user, change):
    sentence = f"You don't have permission to {change.__name__} API keys."

    with pytest.raises(PermissionDenied, match=sentence):
        change(keys.instance, by=Actor(make_user("eve")))


def test_row_of_another_source_is_disabled_too(user):
    robot = Robot.objects.create(user=user)

    assert disable(robot)
    assert robot.state == KeyState.DISABLED


def test_history_and_signals_name_who_did_it(
    keys, system_manager, django_capture_on_commit_callbacks
):
    with (
        receiving(key_disabled, key_enabled) as calls,
        django_capture_on_commit_callbacks(execute=True),
    ):
        disable(keys.instance, by=Actor(system_manager))
        enable(keys.instance, by=Actor(system_manager))

    assert [(call["signal"], call["by"]) for call in calls] == [
        (key_disabled, system_manager),
        (key_enabled, system_manager),
    ]
    texts = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert [text.split()[0] for text in texts] == ["Disabled", "Disabled", "Enabled", "Enabled"]


def test_filter_by_state_agrees_with_the_state(user, settings):
    names = ["active", "disabled", "revoked", "both"]
    made = {name: generate_keys(user, name=name).instance for name in names}
    for name in ("disabled", "both"):
        disable(made[name])
    for name in ("revoked", "both"):
        revoke(made[name])

    for state in KeyState:
        matching = ApiKey.objects.filter(state.condition())
        assert {key.name for key in matching} == {
            key.name for key in ApiKey.objects.all() if key.state == state
        }


def test_disabled_key_gets_no_secret_and_its_page_says_so_before(keys, user, system_manager):
    disable(keys.instance)

    for generate in (lambda: generate_keys(user), lambda: generate_keys_for_source(keys.instance)):
        with pytest.raises(ValidationError, match="Enable it") as error:
            generate()
        assert error.value.code == "key_disabled"
    (plan,) = plan_for([user], Actor(system_manager), may_renew=False)
    assert "Enable it" in plan.blocked_by


@pytest.mark.parametrize("change", [disable, enable])
def test_revoked_key_stays_as_it_is(keys, change):
    revoke(keys.instance)

    with pytest.raises(ValidationError, match="final"):
        change(keys.instance)


def test_narrow_key_enables_no_wider_one(keys, system_manager):
    disable(keys.instance)
    credential = generate_keys(system_manager, allowed_ips=["192.0.2.1"]).instance

    with pytest.raises(PermissionDenied, match="allows more"):
        enable(keys.instance, by=Actor(system_manager, credential))


class TestSelfService:
    @pytest.fixture(autouse=True)
    def self_service(self, settings):
        settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}

    @pytest.mark.parametrize("first", [False, True], ids=["alone", "after the user"])
    @pytest.mark.parametrize("trusted", [False, True], ids=["manager", "trusted code"])
    def test_users_enable_nothing_that_someone_else_disabled(
        self, keys, user, system_manager, first, trusted
    ):
        if first:
            disable(keys.instance, by=Actor(user))
        by = None if trusted else Actor(system_manager)
        assert disable(keys.instance, by=by)
        assert not disable(keys.instance, by=by)

        with pytest.raises(PermissionDenied, match="someone else"):
            enable(keys.instance, by=Actor(user))
        assert enable(keys.instance, by=Actor(system_manager))
