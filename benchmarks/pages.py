"""Times whole pages of the admin with very many keys, and with a long request log."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from frappe_tokens.models import ApiKey, ApiRequestLog

from . import goals, population, usage
from .contenders import make_user
from .measure import Probe, Trial, WrongAnswer, interleave
from .report import Table

MOST_ROUNDS = 20


def measure(keys: int, rows: int, rounds: int) -> list[Table]:
    """The table of the pages, with this many ``keys``, and ``rows`` of the log."""
    users = get_user_model()._default_manager
    ApiKey._base_manager.all()._raw_delete(connection.alias)
    ApiRequestLog._base_manager.all()._raw_delete(connection.alias)
    if not users.filter(username=population.username(keys)).exists():
        population.make_users(keys)
    population.make_keys(ApiKey, keys)
    now = timezone.now()
    ApiKey.objects.filter(api_key__startswith="ftk_0").update(expires_at=now + timedelta(days=7))
    ApiKey.objects.filter(api_key__startswith="ftk_1").update(
        last_used_at=now - timedelta(days=100)
    )
    usage.populate(rows)
    population.analyse(get_user_model(), ApiKey)
    client = signed_in()
    list_of_keys, log = (
        reverse(f"admin:frappe_tokens_{name}_changelist") for name in ("apikey", "apirequestlog")
    )
    some_key = population.api_key(keys // 2)
    pages = {
        "keys": list_of_keys,
        "keys, by last use": f"{list_of_keys}?o=-5",
        "keys that expire soon": f"{list_of_keys}?expires_in=14",
        "unused keys": f"{list_of_keys}?unused_for=90",
        "keys, searched": f"{list_of_keys}?q={some_key}",
        "log": log,
        "log, by outcome": f"{log}?outcome=key_expired",
    }
    probes = [
        Probe(name, partial(Trial, partial(client.get, url), check)) for name, url in pages.items()
    ]
    timings = interleave(probes, min(rounds, MOST_ROUNDS))
    table = Table(
        f"Pages of the admin, with {keys:,} keys and {rows:,} rows of the log",
        ("", "ms", "quartiles", "SQL", *goals.COLUMNS),
    )
    for name, url in pages.items():
        taken = timings.total(name)
        middle, low, high = (value / 1000 for value in (taken.middle, taken.low, taken.high))
        goal = goals.PAGE if name in ("keys", "log") and rows >= goals.PAGE_LOG_ROWS else None
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        cells = goals.cells(goal, middle)
        table.rows.append(
            (name, f"{middle:.0f}", f"{low:.0f}-{high:.0f}", str(len(queries)), *cells)
        )
    ApiRequestLog._base_manager.all()._raw_delete(connection.alias)
    return [table]


def signed_in() -> Client:
    admin = make_user("admin")
    admin.is_staff = admin.is_superuser = True
    admin.save()
    client = Client(SERVER_NAME="localhost")
    client.force_login(admin)
    return client


def check(response: Any) -> None:
    if response.status_code != 200 or b'id="result_list"' not in response.content:
        raise WrongAnswer(f"The page answers {response.status_code}.")
