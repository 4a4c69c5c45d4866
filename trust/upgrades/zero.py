"""All the way down, which removes the tables, and up again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection

from frappe_tokens.keys import generate_keys

from ..faults.load import send
from . import BASE
from .contents import schema
from .migrating import migrate, steps
from .site import site
from .trial import TABLES


def down_and_up(environment: Mapping[str, str]) -> dict[str, bool]:
    """Return what must hold, and whether it does."""
    before, rights = _schema(), _rights()
    found = {"migrates to zero": not migrate("zero").error}
    found["has no table left"] = not _tables()
    found["migrates up again"] = not migrate(BASE).error
    found["has the same schema"] = _schema() == before
    found["has the same rights of the group"] = _rights() == rights
    found["migrates to the newest"] = not migrate(steps()[-1]).error
    found["accepts a new key"] = _accepts_new_key(environment)
    return found


def _accepts_new_key(environment: Mapping[str, str]) -> bool:
    try:
        keys = generate_keys(get_user_model()._default_manager.create_user("grace"))
    except DatabaseError as error:
        print(f"  No key can be generated: {error}", flush=True)
        return False
    with site(environment, None) as port:
        status, *_ = asyncio.run(send(port, "GET", "/drf/", keys.token))
    return status == 200


def _tables() -> set[str]:
    names = connection.introspection.table_names()
    return {name for name in names if name.startswith("frappe_tokens_")}


def _schema() -> dict[str, object]:
    return schema(*sorted({*_tables(), *TABLES}))


def _rights() -> list[str]:
    group = Group.objects.get(name="System Manager")
    return sorted(group.permissions.values_list("codename", flat=True))
