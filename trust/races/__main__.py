"""``python -m trust.races SERVER --seeds 0:5000``: races on one server, and prints what broke."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import SERVERS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trust.races", description=__doc__)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("--seeds", default="0:100", metavar="FROM:TO", help="or one seed")
    parser.add_argument("--steps", action="store_true", help="print the order of each race")
    parser.add_argument("--json", action="store_true", help="print one object")
    options = parser.parse_args()
    server = SERVERS[options.server]
    os.environ.update(server.settings, DJANGO_SETTINGS_MODULE="trust.races.settings", REPLICA="")
    os.environ["DATABASE_URL"] = os.environ.get(server.variable) or server.address
    first, _, end = options.seeds.partition(":")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    with _database():
        found = _run(options.server, seeds, options.steps)
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{found['ran']:,} races, {found['waits']:,} waits for locks")
    for failure in found["failures"]:
        print("{seed}: {promise}: {text} ({operations})".format(**failure), file=sys.stderr)
    return 1 if found["failures"] else 0


@contextmanager
def _database() -> Iterator[None]:
    import django

    django.setup()
    from django.db import connection
    from django.test.utils import setup_test_environment, teardown_test_environment

    setup_test_environment(debug=False)
    old = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(old, verbosity=0)
        teardown_test_environment()


def _run(server: str, seeds: range, prints_steps: bool) -> dict[str, Any]:
    from .running import races

    failures, waits, ran = [], 0, 0
    operations: Counter[str] = Counter()
    for race in races(seeds):
        ran, waits = ran + 1, waits + race.waits
        operations.update(race.operations)
        if prints_steps:
            print(f"{race.seed}: {race.described}", *race.steps, sep="\n  ", flush=True)
        for promise, text in race.broken:
            failures.append(
                {"seed": race.seed, "promise": promise, "text": text, "operations": race.described}
            )
    return {
        "server": server,
        "ran": ran,
        "waits": waits,
        "failures": failures,
        "operations": operations,
    }


if __name__ == "__main__":
    sys.exit(main())
