"""Runs the app's commands with an error on each line: ``python -m trust.canaries.commands URL``."""

from __future__ import annotations

import io
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import django

from frappe_tokens.crypto import Secret

from . import faults, reporting
from .kinds import canary


def cases(url: str) -> dict[str, Callable[[], object]]:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from frappe_tokens.keys import set_up_pair

    users = get_user_model()._default_manager
    directory = Path(tempfile.mkdtemp(dir=os.environ["TRUST_DIR"]))

    def new() -> tuple[str, Secret]:
        name = secrets.token_hex(8)
        users.create_user(name)
        return name, Secret(f"key-{name}:{canary('PS')}")

    def from_environment() -> None:
        name, os.environ["TRUST_PAIR"] = new()
        call_command("generate_keys", name, from_env="TRUST_PAIR")

    def from_file() -> None:
        name, pair = new()
        (directory / "pair").write_text(pair)
        call_command("generate_keys", name, secret_file=str(directory / "pair"))

    def directly() -> None:
        name, pair = new()
        set_up_pair(users.get(username=name), *map(Secret, pair.split(":")))

    def imported() -> None:
        name, pair = new()
        (directory / "keys.csv").write_text(
            f"user,api_key,api_secret\n{name},{pair.replace(':', ',')}\n"
        )
        call_command("import_keys", str(directory / "keys.csv"))

    def generated() -> None:
        # What it prints if it succeeds is the secret, as promised.
        printed = io.StringIO()
        with redirect_stdout(printed):
            call_command("generate_keys", new()[0], stdout=printed)

    def checked() -> None:
        sys.stdin = io.StringIO(new()[1] + "\n")
        call_command("check_token", url)

    return {
        "generate_keys --from-env": from_environment,
        "generate_keys --secret-file": from_file,
        "generate_keys": generated,
        "import_keys": imported,
        "check_token": checked,
        "set_up_pair": directly,
    }


def attempt(name: str, run: Callable[[], object], fault: str) -> None:
    faults.plan = plan = faults.Plan(fault)
    faults.follow()
    try:
        run()
    except (Exception, SystemExit):
        sys.settrace(None)
        logging.getLogger("trust").exception("%s failed", name)
    finally:
        sys.settrace(None)
        faults.plan = None
        if fault == "count":
            plan.write()


def main() -> None:
    url, names = sys.argv[1], sys.argv[2:]
    django.setup()
    reporting.start()
    tried = 0
    path = Path(os.environ["TRUST_DIR"]) / "commands"
    with path.open("a") as said, redirect_stdout(said), redirect_stderr(said):
        for name, run in cases(url).items():
            if names and name not in names:
                continue
            attempt(name, run, "count")
            places = faults.read()
            plan = [f"line:{place}" for place in places["lines"]]
            plan += [f"database:{n + 1}" for n in range(places.get("database", 0))]
            for fault in plan:
                attempt(name, run, fault)
            tried += len(plan)
    reporting.flush()
    print(tried)


if __name__ == "__main__":
    main()
