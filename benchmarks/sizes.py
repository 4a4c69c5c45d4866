"""What one PostgreSQL and one Redis carry, and what larger sites need by that."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from frappe_tokens.contrib.redis_streams import RedisStreamSink
from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.request_log import Entry, insertion
from frappe_tokens.request_log.batches import BATCH

from . import capacity, contenders, population
from .capacity import Rate
from .measure import WrongAnswer, use
from .report import Table
from .requests import check_answer, handler_of, make_request
from .views import FrappeTokensView

TITLES = ("What one PostgreSQL and one Redis carry", "What larger sites need")
SITES = (1_000, 10_000, 100_000)  # requests a second
ACTIVE_KEYS = 10_000  # in any minute
STREAM = f"{settings.REDIS_PREFIX}_stream"
SECONDS_A_DAY = 86_400
GB = 1e9

_handler = handler_of(contenders.Contender("frappe_tokens", FrappeTokensView))


def measure(keys: int, seconds: int, rounds: int) -> list[Table]:
    """Return both tables, from a table of ``keys``, and the best of ``rounds``."""
    if lacking := capacity.missing():
        note = f"Left out: this needs {', '.join(lacking)}."
        return [Table(title, notes=[note]) for title in TITLES]
    secret = _populate(keys)
    rates: dict[str, Rate] = {}
    for _ in range(rounds):
        for name, rate in _rates(keys, secret, seconds).items():
            rates[name] = max(rates.get(name, rate), rate, key=lambda rate: rate.second)
    sizes = _sizes(keys, secret)
    redis = capacity.redis()
    for name in redis.scan_iter(f"*{STREAM}*"):
        redis.delete(name)
    return [_measured(rates, sizes), _computed(rates, sizes)]


def _populate(keys: int) -> str:
    ApiKey._base_manager.all()._raw_delete(connection.alias)
    ApiRequestLog._base_manager.all()._raw_delete(connection.alias)
    if not get_user_model()._default_manager.filter(username=population.username(keys)).exists():
        population.make_users(keys)
    secret = population.make_keys(ApiKey, keys)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE frappe_tokens_apikey SET api_key = 'ftk_size' || n "
            "FROM (SELECT id AS numbered, row_number() OVER (ORDER BY id) AS n "
            "FROM frappe_tokens_apikey) AS rows WHERE id = numbered"
        )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM FULL frappe_tokens_apikey")
    population.analyse(get_user_model(), ApiKey)
    return secret


def _rates(keys: int, secret: str, seconds: int) -> dict[str, Rate]:
    one = "'ftk_size1' -> 'ftk_size:n'"
    pk = ApiKey.objects.get(api_key="ftk_size1").pk
    call = partial(_ask, secret)
    call()  # its first use is recorded
    (select,) = capacity.statements_of(call)
    own = {**settings.FRAPPE_TOKENS, "LAST_USED_INTERVAL": timedelta(microseconds=1)}
    with override_settings(FRAPPE_TOKENS=own):
        _, update = capacity.statements_of(call)
    user = 987_654_321
    (insert,) = capacity.statements_of(partial(insertion.insert, [_entry(user)]))
    selected = capacity.script(select, key=one)
    updated = capacity.script(update, pk=f'."id" = {pk} -> ."id" = :n')
    inserted = capacity.script(insert, key=one, user=f"{user} -> :n")
    ids = pk, pk + keys - 1
    rates = {
        "authenticating, the SELECT": capacity.in_postgresql(selected, (1, keys), seconds),
        "recording last uses": capacity.in_postgresql(updated, ids, seconds),
        "the log, durable": capacity.in_postgresql(inserted, (1, keys), seconds),
        "the log, buffered": capacity.by_processes(insert_batch, seconds),
        "the log, as a stream": capacity.by_processes(_send_batch, seconds, in_redis=True),
    }
    use(cache="redis")
    call()
    rates["authenticating, from Redis"] = capacity.in_redis(_cached_names(call), seconds)
    use()
    for name, alias in (("from PostgreSQL", None), ("from Redis", "django-redis")):
        use(cache=alias)
        rates[f"a process, authenticating {name}"] = _in_this_process(call, seconds)
    use()
    return rates


def _ask(secret: str) -> None:
    header = {"HTTP_AUTHORIZATION": f"token ftk_size1:{secret}"}
    check_answer(200, "ada", _handler(make_request(header)))


def _cached_names(call: Callable[[], None]) -> list[str]:
    """Return the command that reads a cached key, as redis-benchmark takes it."""
    redis = capacity.redis()
    before = redis.info("commandstats")
    call()
    after = redis.info("commandstats")
    sent = {
        name.removeprefix("cmdstat_")
        for name, stats in after.items()
        if stats["calls"] > before.get(name, {"calls": 0})["calls"]
    } - {"info"}
    if sent != {"mget"}:
        raise WrongAnswer(f"A cached key is read by {', '.join(sorted(sent))}.")
    label = ApiKey.cache_label()
    names = (f"ft:{label}:ftk_size1", f"ft:{label}", f"ft:{label}:ftk_size1:entry")
    return ["mget", *map(cache.make_key, names)]


def _in_this_process(call: Callable[[], None], seconds: int) -> Rate:
    """Return how many requests it answers, and its own CPU time for each."""
    call()
    number, began, cpu = 0, time.perf_counter(), time.process_time()
    while (taken := time.perf_counter() - began) < seconds:
        call()
        number += 1
    return Rate(number / taken, (time.process_time() - cpu) / number * 1e6)


def _entry(user: int) -> Entry:
    path = f"/api/resource/ToDo/{user % 500}"
    agent = "python-requests/2.32.3"
    request = "User", "GET", path, 200, 12, "192.0.2.7", agent, "accepted"
    return Entry(timezone.now(), user, "ftk_size1", *request)


def _batch() -> list[Entry]:
    return [
        _entry(number)._replace(api_key=population.api_key(1 + number * number % 1000))
        for number in range(BATCH)
    ]


def insert_batch() -> int:
    insertion.insert(_batch())
    return BATCH


class Stream(RedisStreamSink):
    """Bounded, as a site's would be."""

    url = settings.REDIS_URL or ""
    stream = STREAM
    maxlen = 200_000


_streams: list[Stream] = []


def _send_batch() -> int:
    if not _streams:
        _streams.append(Stream())
    # Below write(), which would need a thread, and drop what doesn't fit.
    RedisStreamSink.send(_streams[0], _batch())
    return BATCH


def _sizes(keys: int, secret: str) -> dict[str, float]:
    """Return bytes per thing."""
    redis, bytes_of = capacity.redis(), "SELECT pg_total_relation_size(%s)"
    ApiRequestLog._base_manager.all()._raw_delete(connection.alias)
    with connection.cursor() as cursor:

        def ask(sql: str, *params: object) -> Any:
            cursor.execute(sql, params)
            return cursor.fetchone()[0]

        cursor.execute("VACUUM FULL frappe_tokens_apirequestlog")
        wal, rows = ask("SELECT pg_current_wal_insert_lsn()"), 200 * BATCH
        for _ in range(200):
            insert_batch()
        written = ask("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", wal)
        log = ask(bytes_of, "frappe_tokens_apirequestlog")
        table = ask(bytes_of, "frappe_tokens_apikey")
    use(cache="redis")
    _ask(secret)
    cached = list(redis.scan_iter(f"{settings.REDIS_PREFIX}_redis*ftk_size1*"))
    use()
    return {
        "a row of the log, with its indexes": log / rows,
        "the WAL of that row": float(written) / rows,
        "an API key, with its indexes": table / keys,
        "a cached API key": float(sum(map(redis.memory_usage, cached))),
        "an entry of the stream": redis.memory_usage(STREAM, samples=0) / redis.xlen(STREAM),
    }


def _measured(rates: dict[str, Rate], sizes: dict[str, float]) -> Table:
    table = Table(TITLES[0], ("", "a second", "server's CPU, us", "bytes"))
    for name, rate in rates.items():
        table.rows.append((name, f"{rate.second:,.0f}", f"{rate.server:.1f}", "-"))
    for name, size in sizes.items():
        table.rows.append((name, "-", "-", f"{size:,.0f}"))
    table.notes.append(
        "Lower bounds: clients and servers share the processors of this machine. For a process, "
        f"the CPU is its own. {capacity.CLIENTS} connections; the log is written by "
        f"{capacity.PROCESSES} processes, {BATCH} rows or entries at once."
    )
    return table


def _computed(rates: dict[str, Rate], sizes: dict[str, float]) -> Table:
    table = Table(TITLES[1], ("", *(f"{site:,}/s" for site in SITES)))

    def cores(name: str, of: Callable[[int], float] = float) -> list[str]:
        return [_number(of(site) * rates[name].server / 1e6) for site in SITES]

    def memory(name: str, seconds: int) -> list[str]:
        return [_number(site * seconds * sizes[name] / GB) for site in SITES]

    rows = {
        "site's cores, authenticating from PostgreSQL": cores(
            "a process, authenticating from PostgreSQL"
        ),
        "site's cores, authenticating from Redis": cores("a process, authenticating from Redis"),
        "PostgreSQL's cores, without CACHE": cores("authenticating, the SELECT"),
        "Redis's cores, with CACHE": cores("authenticating, from Redis"),
        f"PostgreSQL's cores, last uses of {ACTIVE_KEYS:,} keys": cores(
            "recording last uses", lambda _: ACTIVE_KEYS / 60
        ),
        "PostgreSQL's cores, the durable log": cores("the log, durable"),
        "PostgreSQL's cores, the buffered log": cores("the log, buffered"),
        "Redis's cores, the log as a stream": cores("the log, as a stream"),
        "connections in use, at 10 ms a request": [f"{site / 100:,.0f}" for site in SITES],
        "the log, GB a day": memory("a row of the log, with its indexes", SECONDS_A_DAY),
        "WAL of the log, GB a day": memory("the WAL of that row", SECONDS_A_DAY),
        "the stream, GB an hour without a consumer": memory("an entry of the stream", 3600),
    }
    table.rows += [(name, *cells) for name, cells in rows.items()]
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
