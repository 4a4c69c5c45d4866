"""Fuzzes ``import_keys``: the input is the file."""

from __future__ import annotations

import csv
import io
import re
import sys
from random import Random
from types import SimpleNamespace
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import CommandError

from frappe_tokens import crypto
from frappe_tokens.management.commands.import_keys import Command
from frappe_tokens.models import ApiKey

HEADER = "user,api_key,api_secret"
USERS = ["ada", "grace", "two, words", "gone"]
_LINE = re.compile(r"line (\d+): .+")
_OTHERWISE = ("There are no keys to import.", "Nothing was imported.")


def prepare() -> None:
    """Store users, one of them inactive, and a key."""
    users = get_user_model()._default_manager
    for name in USERS:
        users.create(username=name, is_active=name != "gone")
    user = users.get(username="grace")
    ApiKey.objects.create(user=user, api_key="taken", name="taken")


def seeds() -> list[bytes]:
    body = "fts_" + "i" * 43
    secret = body + crypto.checksum(body)
    texts = [
        f"{HEADER}\nada,a1b2c3d4e5f6071,0f1e2d3c4b5a697\n",
        f"{HEADER},name\r\nada,ftk_1,{secret},ci\r\ngrace,ftk_2,0123456789ab,\r\n",
        '\ufeffname, API_Key ,api_secret,user\n\n"","k:","0123456789ab","two, words"\n',
        f"{HEADER}\nada,taken,0123456789ab\nnobody,k,0123456789ab\ngone,k,0123456789ab\n",
        f'{HEADER}\nada,"k","se""cret,01234"\nada,k,0123456789ab\nada,k\n',
        f"{HEADER}\nada,{secret},k\n{secret},ada,k\nada,k,{secret[:-1]}\n",
        f'{HEADER}\nada,"k\n',
    ]
    return [text.encode() for text in texts] + [b"\xff", b"\0", b""]


WORDS = [
    HEADER,
    "user",
    "api_key",
    "api_secret",
    "name",
    ",",
    '"',
    '""',
    "\n",
    "\r\n",
    "0123456789ab",
]
WORDS += [*USERS, "taken", "ftk_", "fts_", "\ufeff"]


def mutate(data: bytes, random: Random, change: Any) -> bytes:
    """Change one line below the header, more often than the whole file."""
    lines = data.split(b"\n")
    if random.randrange(3) or len(lines) < 2:
        return bytes(change(data))
    place = random.randrange(1, len(lines))
    match random.randrange(3):
        case 0:
            lines[place] = change(lines[place])
        case 1:
            lines.insert(place, lines[random.randrange(1, len(lines))])
        case _:
            del lines[place]
    return b"\n".join(lines)


def check(data: bytes) -> None:
    """Import the file, and compare with what it says."""
    out = io.StringIO()
    sys.stdin = SimpleNamespace(buffer=io.BytesIO(data))  # type: ignore[assignment]
    try:
        Command(stdout=out, stderr=io.StringIO()).handle(file="-", dry_run=False, verbosity=1)
    except CommandError as error:
        _check_refusal(data, str(error))
        return
    finally:
        sys.stdin = sys.__stdin__
    keys = ApiKey.objects.exclude(api_key="taken").select_related("user")
    stored = {key.api_key: key for key in keys}
    keys.delete()
    rows = _rows(data)
    assert out.getvalue().startswith(f"Imported {len(rows)} key"), "another number than reported"
    assert len(stored) == len(rows), "another number than written"
    for row in rows:
        key = stored[row["api_key"]]
        assert key.user.get_username() == row["user"], "another user"
        assert key.name == row.get("name", "").strip(), "another name"
        assert crypto.matches(row["api_secret"], key.secret_digest), "another secret"
        assert key.user.is_active, "an inactive user"


def _check_refusal(data: bytes, message: str) -> None:
    *problems, last = message.split("\n")
    assert last == "Nothing was imported.", message
    assert problems
    assert ApiKey.objects.count() == 1, "stored all the same"
    most = data.count(b"\n") + data.count(b"\r") + 1
    for problem in problems:
        line = _LINE.fullmatch(problem)
        assert line or problem in _OTHERWISE, problem
        assert line is None or 1 <= int(line[1]) <= most, problem
    try:
        rows = _rows(data)
    except (ValueError, csv.Error, KeyError):
        return
    shown = {value for row in rows for name, value in row.items() if name != "api_secret"}
    for row in rows:
        secret = row["api_secret"]
        # What is a username too may be shown as one.
        if len(secret) >= 12 and not any(secret in value for value in shown):
            assert secret not in message, "a secret is shown"


def _rows(data: bytes) -> list[dict[str, str]]:
    """Read the file again, without the command's code."""
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    header, *rows = [row for row in csv.reader(text, strict=True) if row]
    names = [name.strip().lower() for name in header]
    found = [dict(zip(names, row, strict=True)) for row in rows]
    if found and "api_secret" not in names:
        raise KeyError("api_secret")
    return found
