"""Checks imported keys before any of them is stored."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import crypto
from ..conf import conf
from ..credentials import API_KEY_MAX_LENGTH, API_SECRET_MAX_LENGTH, looks_secret, parse
from ..crypto import Secret
from ..models import ApiKey
from ..types import User
from .locking import find_user
from .number import is_too_many, numbers_of
from .options import clean_name

# Twelve hexadecimal digits are 48 bits. Shorter secrets can be guessed.
SECRET_MIN_LENGTH = 12

# Thirty-two hexadecimal digits are 128 bits. A shorter secret can be guessed from a stolen digest
# without a pepper.
SHORT_SECRET_LENGTH = 32

_FRAPPE_HALF = re.compile(r"[0-9a-f]{15}")


class ImportedPair(NamedTuple):
    """A ``line`` of the list: a key for the user with the username ``user``."""

    line: int
    user: str
    api_key: str
    api_secret: Secret
    name: str = ""


class CheckedPair(NamedTuple):
    """A pair that can be stored."""

    line: int
    user_id: Any
    name: str
    api_key: str
    secret_digest: str


class Problem(NamedTuple):
    """What is wrong with a line, in a sentence without secrets."""

    line: int
    text: str


class Checks:
    """The checks of a list.

    Attributes:
        problems: what is wrong with the lines so far.
        short: the number of secrets that need a pepper.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.short = 0
        # Of API keys, and of each user's names for keys.
        self._lines: dict[object, int] = {}
        # Of keys that users would have, by primary key.
        self._numbers: Counter[object] = Counter()

    @sensitive_variables()
    def check(self, rows: list[ImportedPair | Problem]) -> list[CheckedPair]:
        """Check a batch of lines, with a few queries. Return the pairs that can be stored."""
        pairs: list[ImportedPair] = []
        for row in rows:
            if isinstance(row, Problem):
                self.problems.append(row)
                continue
            # Before any query: databases log statements, and a secret may be in the wrong column.
            try:
                check_pair(row.api_key, row.api_secret)
                # Drivers raise their own errors for NULs.
                if "\0" in row.user or looks_secret(row.user.rpartition(":")[2]):
                    raise _unknown_user(row.user)
                pairs.append(row._replace(name=clean_name(row.name)))
            except ValidationError as error:
                self.problems.append(Problem(row.line, error.messages[0]))
        users = _find_users({pair.user for pair in pairs})
        stored = ApiKey.objects.stored().order_by()
        same_key = stored.filter(api_key__in=[pair.api_key for pair in pairs])
        names = {pair.name for pair in pairs}
        same_name = stored.filter(user__in=users.values(), name__in=names, live=True)
        taken = {
            *same_key.values_list("api_key", flat=True),
            *same_name.values_list("user", "name"),
        }
        self._numbers |= numbers_of(user.pk for user in users.values())
        checked = []
        for pair in pairs:
            try:
                checked.append(self._check(pair, users.get(pair.user), taken))
            except ValidationError as error:
                self.problems.append(Problem(pair.line, error.messages[0]))
        return checked

    @sensitive_variables()
    def _check(self, pair: ImportedPair, user: User | None, taken: set[object]) -> CheckedPair:
        line, username, api_key, api_secret, name = pair
        if user is None:
            raise _unknown_user(username)
        key_line = self._lines.setdefault(api_key, line)
        name_line = self._lines.setdefault((user.pk, name), line)
        if not user.is_active:
            problem = _("%(user)r: The user is inactive. Activate the user first.")
        elif api_key in taken:
            problem = _("API key %(api_key)s already exists.")
        elif key_line != line:
            problem = _("API key %(api_key)s is already on line %(key_line)d.")
        elif (user.pk, name) in taken:
            problem = _(
                "User %(user)r already has a live key with the name %(name)r. Revoke it first, or "
                "choose another name in the column 'name'."
            )
        elif is_too_many(self._numbers[user.pk] + 1):
            problem = _(
                "User %(user)r would have too many keys. Revoke one first, or leave one out."
            )
        elif name_line != line:
            problem = _(
                "User %(user)r has a key with the same name on line %(name_line)d. Add different "
                "names in the column 'name'."
            )
        else:
            self._numbers[user.pk] += 1
            self.short += len(api_secret) < SHORT_SECRET_LENGTH
            return CheckedPair(line, user.pk, name, api_key, crypto.make_digest(api_secret))
        params = {"user": username, "api_key": api_key, "name": name}
        raise ValidationError(
            problem, params={**params, "key_line": key_line, "name_line": name_line}
        )


def _unknown_user(username: str) -> ValidationError:
    half = username.rpartition(":")[2]
    if looks_secret(half) or _FRAPPE_HALF.fullmatch(half):
        return ValidationError(_("The user is not a username. Are the columns mixed up?"))
    return ValidationError(_("There is no user %(user)r."), params={"user": username})


def _find_users(names: set[str]) -> dict[str, User]:
    model = get_user_model()
    users = model._default_manager.using(router.db_for_write(ApiKey))
    try:
        batch = users.filter(**{f"{model.USERNAME_FIELD}__in": names})
        found: dict[str, User] = {str(user.get_username()): user for user in batch}
    except (TypeError, ValueError, ValidationError):
        found = {}  # for example, usernames are numbers, and one of these isn't
    # Some user models, and some databases, ignore case.
    for name in names - found.keys():
        user = find_user(name)
        if user is not None:
            found[name] = user
    return found


@sensitive_variables()
def check_pair(api_key: str, api_secret: Secret) -> None:
    """Raise ValidationError unless a pair is safe and works in the Authorization header.

    Its message contains neither half, because the two may be mixed up.
    """
    # API keys are shown, so they must not be secrets.
    is_secret = api_key == api_secret or looks_secret(api_key)
    if api_key and (is_secret or _are_mixed_up(api_key, api_secret)):
        raise ValidationError(_("The API key is a secret. Are the two mixed up?"))
    if not _is_well_formed(api_key, Secret("0")):
        problem = _(
            "The API key must have 1 to %(key_max)d printable ASCII characters, without spaces or "
            "colons."
        )
    elif not api_secret:
        problem = _("The secret is missing.")
    elif len(api_secret) < SECRET_MIN_LENGTH:
        problem = _(
            "The secret can be guessed: it has fewer than %(secret_min)d characters. Generate a "
            "new one instead."
        )
    elif _is_well_formed(api_key, api_secret):
        return
    elif api_secret.startswith(conf.SECRET_PREFIX) and not crypto.has_valid_checksum(api_secret):
        problem = _(
            "The secret starts with %(prefix)s like generated ones, but its checksum is wrong. It "
            "was mistyped or cut off."
        )
    else:
        problem = _(
            "The secret must have at most %(secret_max)d printable ASCII characters, without "
            "spaces."
        )
    limits = {"key_max": API_KEY_MAX_LENGTH, "secret_max": API_SECRET_MAX_LENGTH}
    params = {**limits, "secret_min": SECRET_MIN_LENGTH, "prefix": conf.SECRET_PREFIX}
    raise ValidationError(problem, params=params)


def _are_mixed_up(api_key: str, api_secret: Secret) -> bool:
    """Whether the secret starts like a generated API key, and the API key doesn't."""
    prefix = conf.KEY_PREFIX
    # Any secret may start with a short prefix, and generated secrets may start with this one.
    if len(prefix) < 3 or conf.SECRET_PREFIX.startswith(prefix):
        return False
    return api_secret.startswith(prefix) and not api_key.startswith(prefix)


def _is_well_formed(api_key: str, api_secret: Secret) -> bool:
    """Whether the parser reads exactly this pair from a header."""
    read = parse(Secret(f"token {api_key}:{api_secret}"), "token")
    return read is not None and (read.api_key, read.api_secret) == (api_key, api_secret)
