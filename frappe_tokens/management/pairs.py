"""The options of ``generate_keys`` for a pair that was chosen elsewhere, and its output."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import policy
from ..conf import conf
from ..crypto import Secret
from ..keys import PairResult
from .selection import moment, owner_of, username_of

# A little more than the longest pair.
FILE_MAX_LENGTH = 1000  # characters

_DONE = {
    "created": "Stored the API key %s of %s.",
    "rotated": "Rotated the secret of the API key %s of %s.",
    "unchanged": "The API key %s of %s has this secret already. Nothing was changed.",
    "superseded": "The API key %s of %s has a newer secret. Nothing was changed.",
}


def add_pair_arguments(parser: CommandParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--from-env",
        metavar="NAME",
        help="Store the pair <api_key>:<api_secret> in this environment variable.",
    )
    group.add_argument(
        "--secret-file", metavar="PATH", help="Store the pair <api_key>:<api_secret> in this file."
    )


def has_pair(options: Mapping[str, Any]) -> bool:
    return options["from_env"] is not None or options["secret_file"] is not None


@sensitive_variables()
def read_pair(options: Mapping[str, Any]) -> tuple[Secret, Secret]:
    """Return the API key and secret, which may be mixed up.

    Errors contain neither the value nor the argument, which may be a secret by mistake.
    """
    name, path = options["from_env"], options["secret_file"]
    if path is not None:
        option, text = "The file of --secret-file", _read_file(path)
    elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        option, text = "The variable of --from-env", Secret(os.environ.get(name, ""))
    else:
        raise CommandError("--from-env takes the name of an environment variable, not its value.")
    if not text:
        raise CommandError(f"{option} is empty{'' if path is not None else ' or not set'}.")
    api_key, colon, api_secret = map(Secret, text.partition(":"))
    if not colon:
        raise CommandError(f"{option} must contain <api_key>:<api_secret>.")
    return api_key, api_secret


@sensitive_variables()
def _read_file(path: str) -> Secret:
    """Return the text in the file, without one final line break."""
    problem = ""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = Secret(file.read(FILE_MAX_LENGTH + 1))
        if len(text) > FILE_MAX_LENGTH:
            problem = "is too big for <api_key>:<api_secret>"
        else:
            return Secret(text.removesuffix("\n").removesuffix("\r"))
    except OSError as error:
        problem = f"can't be read: {error.strerror}"
    except ValueError:
        # The exception contains the content.
        problem = "is not text in UTF-8"
    raise CommandError(f"The file of --secret-file {problem}.")


def describe(result: PairResult) -> Iterator[str]:
    """Yield what was done, and then warnings."""
    key = result.key
    done = _DONE[result.outcome] % (key.api_key, owner_of(key))
    works_until = key.previous_expires_at
    if result.outcome in ("rotated", "superseded") and (
        works_until is not None and not policy.has_ended(works_until, timezone.now())
    ):
        which = "old secret" if result.outcome == "rotated" else "given one"
        done += f" The {which} works until {moment(works_until)}."
    yield done
    if key.is_disabled:
        yield "The key is disabled. Use enable_keys to enable it."
    if result.ignored:
        names = ", ".join(result.ignored)
        yield f"The key keeps its own {names}. Change them in the admin or with change_key()."
    if result.is_short and not conf.PEPPERS:
        yield (
            "The secret is short. Weak secrets are only safe with a pepper: set "
            "FRAPPE_TOKENS['PEPPERS']."
        )


def format_pair(result: PairResult, options: Mapping[str, Any], url: str) -> str:
    """Return what to print for programs: as for a generated key, but without the secret.

    For curl, the shell reads the pair from where this command did.
    """
    username = username_of(result.key)
    if options["format"] == "json":
        fields = {"user": username, "name": result.key.name, "api_key": result.key.api_key}
        return json.dumps({**fields, "outcome": result.outcome})
    if options["format"] == "env":
        return f"# {json.dumps(username)}\nAPI_KEY={shlex.quote(result.key.api_key)}"
    name, path = options["from_env"], options["secret_file"]
    pair = f"${name}" if path is None else f"$(cat -- {shlex.quote(path)})"
    return f'curl -H "Authorization: token {pair}" {shlex.quote(url)}'
