"""``python -m trust.upgrades SERVER``: upgrades and downgrades one database, under load."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from . import BASE, SERVERS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trust.upgrades", description=__doc__)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000, help="of the request log")
    parser.add_argument("--quick", action="store_true", help="leave out what takes long")
    parser.add_argument("--json", metavar="FILE", help="write what was found")
    options = parser.parse_args()
    server = SERVERS[options.server]
    os.environ["DJANGO_SETTINGS_MODULE"] = "trust.upgrades.settings"
    os.environ["DATABASE_URL"] = os.environ.get(server.variable) or server.address
    with tempfile.TemporaryDirectory(prefix="trust-upgrades-") as folder:
        name = f"trust_upgrades_{os.getpid()}"
        if options.server == "sqlite":
            name = f"{folder}/{name}.sqlite3"
        os.environ["UPGRADES_NAME"] = name
        with _database():
            found = _run(name, options.keys, options.rows, options.quick)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(found, file)
    return 0


@contextmanager
def _database() -> Iterator[None]:
    import django

    django.setup()
    from django.db import connection

    old = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(old, verbosity=0)


def _run(name: str, keys: int, rows: int, quick: bool) -> dict[str, Any]:
    from django.db import connection

    from . import filling, partitions, traps, trial, zero
    from .contents import schema
    from .migrating import migrate, models_at

    address = os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{name}"
    environment = {
        "DATABASE_URL": address if connection.vendor != "sqlite" else f"sqlite:///{name}"
    }
    _check(migrate(BASE).error)
    algorithms = trial.algorithms() if getattr(connection, "mysql_is_mariadb", False) else {}
    began = time.monotonic()
    filling.fill(models_at(BASE), keys, rows)
    last = trial.last_ids()
    tokens = filling.make_credentials(models_at(BASE))
    before, schema_before = trial.all_contents(last), schema(*trial.TABLES)
    print(f"{connection.display_name}: filled in {time.monotonic() - began:.0f} s", flush=True)
    tried = trial.Trial(environment, tokens, quick)
    tried.run()
    schema_after = schema(*trial.TABLES)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT sum(number) FROM {trial.TABLES[1]} WHERE id > {last[1]}")
        logged = int(cursor.fetchone()[0] or 0)
    after = trial.all_contents(last)
    trapped = traps.measure()
    at_zero = zero.down_and_up(environment)
    partitioned = partitions.add_index() if connection.vendor == "postgresql" else {}
    return {
        "steps": [asdict(step) for step in tried.steps],
        "algorithms": algorithms,
        "answers": [
            {
                "kind": a.kind,
                "seconds": a.seconds,
                "status": a.status,
                "wanted": a.wanted,
                "away": a.is_away,
            }
            for a in tried.answers
        ],
        "idle_longest": tried.idle_longest,
        "limited": tried.limited,
        "unlimited": tried.unlimited,
        "unchanged_by_limited": tried.unchanged_by_limited,
        "interrupted": tried.interrupted,
        "rows": sum(each.rows for each in before),
        "same_rows": before == after,
        "schema": len(schema_before),
        "schema_differs": sorted(
            name
            for name in {*schema_before, *schema_after}
            if schema_before.get(name) != schema_after.get(name)
        ),
        "logged": logged,
        "traps": trapped,
        "zero": at_zero,
        "partitioned": partitioned,
    }


def _check(error: str) -> None:
    if error:
        raise RuntimeError(error)


if __name__ == "__main__":
    sys.exit(main())
