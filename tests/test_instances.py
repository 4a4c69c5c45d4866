"""Making new instances: the same as Django would make."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from django.db.models.signals import post_init

from frappe_tokens.instances import maker_of_new
from frappe_tokens.models import ApiKey

from .instances import described

NOON = datetime(2030, 2, 28, 12, tzinfo=timezone.utc)
VALUES = {"name": "ci", "created_at": NOON, "created_by_id": 7}

pytestmark = pytest.mark.django_db


def made_by(make: Callable[[], Any], user: Any) -> dict[str, Any]:
    key = make()
    assert key.api_key.startswith("ftk_")
    assert len(key.api_key) == 20
    key.api_key = ""
    key.user = user
    return described(key)


def test_makes_the_instance_that_the_model_makes(user: Any) -> None:
    make = maker_of_new(ApiKey, VALUES)
    assert made_by(make, user) == made_by(lambda: ApiKey(**VALUES), user)
    assert made_by(make, user) == made_by(lambda: ApiKey(**VALUES), user)


def test_instances_share_nothing() -> None:
    make = maker_of_new(ApiKey, VALUES)
    keys = [make() for _ in range(3)]
    keys[0].scopes.append("todo")
    keys[0]._state.adding = False
    assert keys[1].scopes == make().scopes == []
    assert keys[1]._state.adding
    assert len({key.api_key for key in keys}) == 3


def test_what_is_given_is_no_default() -> None:
    make = maker_of_new(ApiKey, {"api_key": "imported"})
    assert [make().api_key, make().api_key] == ["imported"] * 2


def test_new_instance_can_be_saved(user: Any) -> None:
    key = maker_of_new(ApiKey, {"name": "ci"})()
    key.user = user
    key.save()
    assert ApiKey.objects.get() == key


def test_listeners_hear_of_each_instance() -> None:
    heard: list[str] = []

    def note(instance: Any, **_: Any) -> None:
        heard.append(instance.name)

    post_init.connect(note, sender=ApiKey)
    try:
        make = maker_of_new(ApiKey, VALUES)
        assert heard == []
        assert [make().name, make().name] == ["ci", "ci"]
        assert heard == ["ci", "ci"]
    finally:
        post_init.disconnect(note, sender=ApiKey)
