"""The table of ``docs/reference/rights.md``: who may do what to whose keys."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from frappe_tokens.keys import (
    Actor,
    change_key,
    disable,
    enable,
    generate_keys,
    generate_keys_for_source,
    revoke,
)
from frappe_tokens.models import ApiKey

from .documentation import page
from .team_leads import BACKENDS, PERMISSION, let_lead

pytestmark = pytest.mark.django_db

PAGE = page("reference/rights")
TARGETS = ["own", "members", "others", "more powerful", "inactive"]
ALL = frozenset(TARGETS)


def read_table():
    """Return whose keys are open, by who and deed."""
    table = PAGE[PAGE.index("| Action |") :].split("\n\n")[0]
    lines = re.findall(r"^\| (.*) \|$", table, re.MULTILINE)
    (_, *names), *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return {
        (name, deed): words(cell)
        for deeds, *cells in rows
        for deed in deeds.split(", ")
        for name, cell in zip(names, cells, strict=True)
    }


def words(cell):
    included, _, excluded = cell.partition(" but ")
    named = ALL if included == "all" else frozenset(filter(None, included.split(", ")))
    return named - set(excluded.split(", "))


TABLE = read_table()


def see(key, by):
    if not by.may_see(key):
        raise PermissionDenied


def renew(key, by):
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())
    generate_keys_for_source(key, expires_at=timezone.now() + timedelta(days=1), by=by)


def enable_own(key, by):
    changes = {"disabled_at": timezone.now(), "disabled_by": key.user}
    ApiKey.objects.filter(pk=key.pk).update(**changes)
    enable(key, by=by)


DEEDS = {
    "see": see,
    "generate": lambda key, by: generate_keys(key.user, name="new", by=by),
    "rotate": lambda key, by: generate_keys_for_source(key, by=by),
    "renew": renew,
    "rename": lambda key, by: change_key(key, by=by, name="renamed"),
    "narrow": lambda key, by: change_key(key, by=by, scopes=["todos"]),
    "widen": lambda key, by: change_key(key, by=by, allowed_ips=[]),
    "let self-rotate": lambda key, by: change_key(key, by=by, self_rotate=True),
    "enable": enable_own,
    "disable": lambda key, by: disable(key, by=by),
    "revoke": lambda key, by: revoke(key, by=by),
}


@pytest.fixture
def actor_of(make_user, settings):
    """Returns the actor of a column."""
    settings.AUTHENTICATION_BACKENDS = BACKENDS["guardian"]

    def actor_of(name):
        if name == "anonymous":
            return Actor(AnonymousUser())
        own = {"manager": (PERMISSION,), "self-service user": ("frappe_tokens.manage_own_keys",)}
        is_superuser = name in {"superuser", "restricted key"}
        user = make_user("asker", permissions=own.get(name, ()), is_superuser=is_superuser)
        restricted = name == "restricted key"
        return Actor(user, generate_keys(user, read_only=True).instance if restricted else None)

    return actor_of


def make_targets(make_user, asker):
    targets = {
        "members": make_user("member"),
        "others": make_user("other"),
        "more powerful": make_user("mighty", is_superuser=True),
        "inactive": make_user("inactive", is_active=False),
    }
    return targets if asker.is_anonymous else {**targets, "own": asker}


def key_of(user):
    is_active = user.is_active
    User.objects.filter(pk=user.pk).update(is_active=True)
    key = generate_keys(user, name="key", allowed_ips=["10.0.0.0/8"]).instance
    User.objects.filter(pk=user.pk).update(is_active=is_active)
    return ApiKey.objects.get(pk=key.pk)


def test_table_has_every_deed():
    assert {deed for _, deed in TABLE} == set(DEEDS)


@pytest.mark.parametrize(("name", "deed"), TABLE)
def test_deed_is_open_for_the_keys_in_the_table_only(make_user, actor_of, name, deed):
    by = actor_of(name)
    targets = make_targets(make_user, by.user)
    if name == "team lead":
        team = (targets[word] for word in ("members", "more powerful", "inactive"))
        let_lead("guardian", by.user, *team)

    done = set()
    for word, user in targets.items():
        key = key_of(user)
        try:
            DEEDS[deed](key, by)
            done.add(word)
        except (PermissionDenied, ValidationError):
            assert ApiKey.objects.filter(user=user, name="key", self_rotate=False).exists()

    assert done == TABLE[name, deed]
