"""Compares many keys with few, in a table and of a user."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from . import contenders, goals, population
from .goals import Goal
from .measure import Probe, interleave
from .models import FewKeys, ManyKeys
from .report import Table, quartiles
from .requests import count_queries, handler_of, probe_of, varying_probe
from .views import FrappeTokensView

Chosen = Callable[[], tuple[Mapping[str, str], str]]


def keys_of_a_user(count: int, rounds: int) -> list[Table]:
    """Compare a user with ``count`` keys to a user with one."""
    one, many = contenders.make_user("one"), contenders.make_user("many")
    few_probe = _probe("1 key", _tokens_of(one, 1))
    many_probe = _probe(f"{count:,} keys", _tokens_of(many, count))
    population.analyse(ApiKey)
    title = f"A user with {count:,} keys against a user with one, above the open view"
    return [_compare(title, few_probe, many_probe, rounds, goals.MANY_KEYS_OF_USER)]


def keys_in_table(few: int, many: int | None, rounds: int) -> list[Table]:
    """Compare a source of ``many`` keys to one of ``few``, with random keys of each."""
    if many is None:
        return [
            Table(
                f"{goals.MANY_ROWS:,} keys against {few:,}",
                notes=["Left out: by default only on PostgreSQL. Use --many-keys."],
            )
        ]
    population.make_users(many)
    few_secret = population.make_keys(FewKeys, few)
    many_secret = population.make_keys(ManyKeys, many)
    population.analyse(get_user_model(), FewKeys, ManyKeys)
    few_probe = _probe(f"{few:,} keys", _tokens_from("FewKeys", few, few_secret))
    many_probe = _probe(f"{many:,} keys", _tokens_from("ManyKeys", many, many_secret))
    title = f"{many:,} keys against {few:,}, above the open view"
    goal = goals.MANY_KEYS if many >= goals.MANY_ROWS else None
    return [_compare(title, few_probe, many_probe, rounds, goal)]


def _probe(name: str, choose: Chosen) -> Probe:
    return varying_probe(name, _handler, choose)


_handler = handler_of(contenders.Contender("frappe_tokens", FrappeTokensView))


def _tokens_of(user: Any, count: int) -> Chosen:
    """Choose one of ``count`` keys, which are created for the user."""
    tokens = [generate_keys(user, name=f"key {number}").token for number in range(count)]
    ApiKey._default_manager.filter(user=user).update(last_used_at=timezone.now())
    return lambda: (
        {"HTTP_AUTHORIZATION": f"token {random.choice(tokens)}"},
        user.get_username(),
    )


def _tokens_from(source: str, count: int, secret: str) -> Chosen:
    def choose() -> tuple[Mapping[str, str], str]:
        number = random.randint(1, count)
        headers = {
            "HTTP_AUTHORIZATION": f"token {population.api_key(number)}:{secret}",
            "HTTP_FRAPPE_AUTHORIZATION_SOURCE": source,
        }
        return headers, population.username(number)

    return choose


def _compare(title: str, few: Probe, many: Probe, rounds: int, goal: Goal | None) -> Table:
    opened = probe_of(contenders.opened())
    timings = interleave([opened, few, many], rounds)
    table = Table(title, ("", "us", "quartiles", "ratio", "quartiles", "SQL", *goals.COLUMNS))
    for probe, bound in ((few, None), (many, goal)):
        cost = timings.above(probe.name, opened.name)
        ratio = timings.ratio(probe.name, few.name, opened.name)
        table.rows.append(
            (
                probe.name,
                f"{cost.middle:.0f}",
                quartiles(cost),
                f"{ratio.middle:.3f}",
                quartiles(ratio, 2),
                str(count_queries(probe)),
                *goals.cells(bound, ratio.middle),
            )
        )
    return table
