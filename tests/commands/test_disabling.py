"""``disable_keys`` and ``enable_keys``, where they differ from ``revoke_keys``."""

import pytest

from frappe_tokens.keys import Actor, disable, generate_keys, revoke
from frappe_tokens.models import ApiKey

from ..sources.models import Robot
from .running import error_of, run

pytestmark = pytest.mark.django_db


def test_disables_and_enables_the_named_keys(keys):
    for command, done in (("disable_keys", "disabled"), ("enable_keys", "enabled")):
        outputs = [run(command, keys.api_key), run(command, keys.api_key)]

        assert outputs == [
            (f"{done.capitalize()} {keys.api_key} of ada.\n", ""),
            (f"Was {done} already: {keys.api_key} of ada.\n", ""),
        ]
        keys.instance.refresh_from_db()
        assert keys.instance.is_disabled is (done == "disabled")
        assert keys.instance.disabled_by is None


def test_changes_all_keys_of_a_user_that_can_be(user, settings):
    sources = {"User": "frappe_tokens.ApiKey", "Robot": "sources.Robot"}
    settings.FRAPPE_TOKENS = {"SOURCES": sources, "SELF_SERVICE": True}
    first, second, revoked = (generate_keys(user, name=name).instance for name in "abc")
    robot = Robot.objects.create(user=user)
    disable(first, by=Actor(user))
    revoke(revoked)

    disabled, _ = run("disable_keys", "--user", "ada")
    enabled, _ = run("enable_keys", "--user", "ada")

    # The first one too, which its user could have enabled.
    api_keys = [first.api_key, second.api_key, robot.api_key]
    assert [line.split()[1] for line in disabled.splitlines()] == api_keys
    assert [line.split()[1] for line in enabled.splitlines()] == api_keys
    assert run("enable_keys", "--user", "ada") == ("", "There are no keys to enable.\n")


@pytest.mark.parametrize("verb", ["disable", "enable"])
def test_changes_all_or_none(user, verb):
    first, last = (generate_keys(user, name=name).instance for name in "ab")
    if verb == "enable":
        disable(first)
    revoke(last)
    before = list(ApiKey.objects.values())

    errors = [
        error_of(f"{verb}_keys", first.api_key, other) for other in (last.api_key, "unknown", "a:b")
    ]

    assert "was revoked, which is final" in errors[0]
    assert last.api_key in errors[0]
    assert "There is no API key 'unknown'." in errors[1]
    assert "contains a secret" in errors[2]
    assert all(f"Nothing was {verb}d." in error for error in errors)
    assert list(ApiKey.objects.values()) == before


def test_other_commands_say_that_a_key_is_disabled(keys, monkeypatch):
    monkeypatch.setenv("PAIR", keys.token)
    disable(keys.instance)

    _, present = run("generate_keys", "ada", "--if-missing")
    _, followed = run("generate_keys", "ada", "--from-env", "PAIR")

    assert "disabled" in run("list_keys")[0]
    assert f"API key {keys.api_key} (disabled) already." in present
    assert "The key is disabled. Use enable_keys to enable it." in followed
    assert f"{keys.api_key} is disabled. Enable it" in error_of("generate_keys", "ada")
