"""What a race begins with: users and keys that are written anew for each."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.test import RequestFactory
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.base_models import AbstractApiKey
from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Refused
from frappe_tokens.keys import GeneratedKeys, generate_keys, generate_keys_for_source
from frappe_tokens.models import ApiKey, ApiRequestLog, SentNotice
from frappe_tokens.verification import RequestInfo, verify
from tests.sources.models import Robot

from .scheduler import moment

OLD_ROWS = 5


@dataclass(slots=True)
class Attempt:
    """A request: when it began, and the key that was accepted or the code of the refusal."""

    began: int
    code: str
    key: AbstractApiKey | None = None


@dataclass(slots=True)
class Scene:
    """Two users and their keys. Operations aim at ``target``, which is a key of ``ada``.

    Attributes:
        new_name: the name that some operations give a key.
        known: all secrets that anyone has got, by what they are of.
    """

    ada: Any
    grace: Any
    root: Any
    unnamed: GeneratedKeys
    named: GeneratedKeys
    robot: GeneratedKeys
    is_unnamed: bool
    new_name: str
    pair: tuple[str, str]
    known: list[tuple[type[AbstractApiKey], str, str]] = field(default_factory=list)

    @property
    def target(self) -> GeneratedKeys:
        return self.unnamed if self.is_unnamed else self.named

    def loaded(self, keys: GeneratedKeys) -> Any:
        """Return the row as a page or a request loaded it before the race."""
        return copy.deepcopy(keys.instance)

    def user(self, user: Any) -> Any:
        return copy.deepcopy(user)


@transaction.atomic
def new_scene(choices: random.Random) -> Scene:
    """Delete what the last race left, and write a new scene."""
    users = get_user_model()
    for model in (LogEntry, ApiRequestLog, SentNotice, ApiKey, Robot, users):
        model._base_manager.all()._raw_delete(router.db_for_write(model))
    ada, grace, root = (
        users(username=name, password="!", email=f"{name}@example.com", is_superuser=name == "root")
        for name in ("ada", "grace", "root")
    )
    for user in (ada, grace, root):
        user.save()
    robot = Robot(user=ada)
    robot.save()
    now = timezone.now()
    ApiRequestLog.objects.bulk_create(
        ApiRequestLog(
            at=now - timedelta(days=9, seconds=number), user=ada, status=200, duration_ms=1
        )
        for number in range(OLD_ROWS)
    )
    scene = Scene(
        ada,
        grace,
        root,
        generate_keys(ada),
        generate_keys(ada, name="ci", self_rotate=True),
        generate_keys_for_source(robot),
        is_unnamed=choices.random() < 0.7,
        new_name="new",
        pair=(crypto.generate_api_key(), crypto.generate_api_secret()),
    )
    if choices.random() < 0.5 and not scene.is_unnamed:
        # Nothing to rotate: a first key is generated.
        ApiKey._base_manager.filter(pk=scene.unnamed.instance.pk)._raw_delete("default")
    for keys in (scene.unnamed, scene.named, scene.robot):
        scene.known.append((type(keys.instance), keys.api_key, keys.api_secret))
    return scene


def attempt(model: type[AbstractApiKey], api_key: str, api_secret: str) -> Attempt:
    """Decide about a request, as every way in does."""
    headers = {} if model is ApiKey else {"Frappe-Authorization-Source": "Robot"}
    info = RequestInfo(RequestFactory().get("/", headers=headers))
    credential = parse(f"token {api_key}:{api_secret}", "token")
    assert credential is not None
    began = moment()
    try:
        key = verify(credential, info)
    except Refused as refused:
        return Attempt(began, refused.reason.code)
    return Attempt(began, "accepted", key)  # type: ignore[arg-type]
