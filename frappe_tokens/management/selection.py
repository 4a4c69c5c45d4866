"""Which keys a command is about, and how it names them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from ..base_models import AbstractApiKey
from ..conf import conf
from ..keys import find_user
from ..lookup import source_model


def source_models(source: str | None) -> dict[str, type[AbstractApiKey]]:
    """The models of ``SOURCES`` by their names there, no key in two of them.

    Args:
        source: the name of the only one that is wanted; None for all.

    Raises:
        CommandError: there is no source of this name.
    """
    models: dict[str, Any] = {}
    for name in conf.SOURCES if source is None else [source]:
        model: Any = source_model(name)
        if model is None:
            raise CommandError(
                f"There is no source {name!r}. Those in SOURCES are {', '.join(conf.SOURCES)}."
            )
        # A proxy's keys are those of the model that it stands for.
        if model._meta.concrete_model not in models.values():
            models[name] = model._meta.concrete_model
    # What extends another source has no keys but that one's.
    return {
        name: model
        for name, model in models.items()
        if not set(model._meta.get_parent_list()) & set(models.values())
    }


def named_users(usernames: Iterable[str]) -> list[Any]:
    """The users of these names.

    Raises:
        CommandError: naming every one that is unknown.
    """
    found = {username: find_user(username) for username in usernames}
    unknown = [f"There is no user {name!r}." for name, user in found.items() if user is None]
    if unknown:
        raise CommandError("\n".join(unknown))
    return list(found.values())


def username_of(key: AbstractApiKey) -> str | None:
    """Whose key it is; None where a source has keys of nobody."""
    return None if key.user is None else str(key.user.get_username())


def printable(text: str) -> str:
    """``text`` as it may be printed on a terminal and in one line."""
    return text if text.isprintable() else ascii(text)


def moment(at: datetime) -> str:
    """A date and time for people, with the time zone where there is one."""
    return f"{at:%Y-%m-%d %H:%M %Z}".rstrip()
