"""Compares generating keys for all users with creating tokens one by one."""

from __future__ import annotations

import json
import time
from io import StringIO
from statistics import median

from django.contrib.auth import get_user_model
from django.core.management import call_command

from . import goals
from .contenders import Contender
from .measure import WrongAnswer
from .report import Table
from .requests import check_answer, handler_of, make_request
from .views import FrappeTokensView


def measure(users: int, sample: int) -> list[Table]:
    """``generate_keys --all-active`` for ``users``, ``drf_create_token`` for a ``sample`` of them.

    Half of the sample runs before and half after it, so that other load slows both.
    """
    names = [f"bulk-{number}" for number in range(users)]
    model = get_user_model()
    model._default_manager.bulk_create((model(username=name) for name in names), batch_size=1000)
    half = sample // 2
    before = [_drf_create_token(name) for name in names[:half]]
    made, rotated = _generate_keys(users), _generate_keys(users)
    theirs = median(before + [_drf_create_token(name) for name in names[half:sample]])
    table = Table(
        f"Keys for {users:,} users, a user",
        ("", "us", "ratio", *goals.COLUMNS),
    )
    for title, taken, goal in (
        ("generate_keys --all-active", made, goals.BULK),
        ("the same again: new secrets", rotated, None),
        (f"drf_create_token, median of {sample}", theirs, None),
    ):
        ratio = taken / theirs
        table.rows.append((title, f"{taken:.0f}", f"{ratio:.3f}", *goals.cells(goal, ratio)))
    return [table]


def _generate_keys(at_least: int) -> float:
    """Return the microseconds per key."""
    output = StringIO()
    begin = time.perf_counter_ns()
    call_command("generate_keys", "--all-active", "--format", "json", stdout=output)
    taken = time.perf_counter_ns() - begin
    lines = output.getvalue().splitlines()
    if len(lines) < at_least:
        raise WrongAnswer(f"{len(lines)} keys were generated for at least {at_least} users.")
    last = json.loads(lines[-1])
    header = {"HTTP_AUTHORIZATION": f"token {last['api_key']}:{last['api_secret']}"}
    response = handler_of(Contender("", FrappeTokensView))(make_request(header))
    check_answer(200, last["user"], response)
    return taken / 1000 / len(lines)


def _drf_create_token(username: str) -> float:
    output = StringIO()
    begin = time.perf_counter_ns()
    call_command("drf_create_token", username, stdout=output)
    taken = time.perf_counter_ns() - begin
    if username not in output.getvalue():
        raise WrongAnswer(f"drf_create_token created none for {username}.")
    return taken / 1000
