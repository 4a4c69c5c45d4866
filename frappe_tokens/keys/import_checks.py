"""Checks a list of keys from elsewhere before any of them is stored."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import crypto
from ..conf import conf
from ..credentials import API_KEY_MAX_LENGTH, API_SECRET_MAX_LENGTH, looks_secret, parse
from ..crypto import Secret
from ..models import ApiKey
from ..types import User
from .actors import check_target
from .cleaning import clean_name
from .locking import lock_users
from .users import find_user

# Twelve hexadecimal digits are 48 bits. Shorter secrets can be guessed.
SECRET_MIN_LENGTH = 12

_FRAPPE_HALF = re.compile(r"[0-9a-f]{15}")


class ImportedPair(NamedTuple):
    """A ``line`` of the list: a key for the user with the username ``user``."""

    line: int
    user: str
    api_key: str
    api_secret: Secret
    name: str = ""


class Problem(NamedTuple):
    """What is wrong with a line, in a sentence without secrets."""

    line: int
    text: str


Rows = list[ImportedPair | Problem]
Pairs = list[tuple[ImportedPair, User]]
Users = dict[str, User]


class Checks:
    """The checks, and what they remember about earlier lines, without secrets.

    Attributes:
        users: the primary keys of the users, by their names in the list.
        line_of_key: the line of each API key.
        line_of_name: the line of each user's key with a name.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.users: dict[str, object] = {}
        self.line_of_key: dict[str, int] = {}
        self.line_of_name: dict[tuple[object, str], int] = {}

    @sensitive_variables()
    def check(
        self, rows: Rows, find_users: Callable[[set[str]], Users]
    ) -> tuple[Pairs, list[Problem]]:
        """Check a batch of lines, with three queries. Lines can be checked again later.

        Args:
            rows: the lines.
            find_users: ``users_by_name`` or ``locked_users``.

        Returns:
            The pairs that can be stored, with their users, and what is wrong with the others.
        """
        problems = [row for row in rows if isinstance(row, Problem)]
        pairs: list[ImportedPair] = []
        for row in rows:
            if isinstance(row, ImportedPair):
                try:
                    _check_form(row)
                    pairs.append(row._replace(name=clean_name(row.name)))
                except ValidationError as error:
                    problems.append(Problem(row.line, error.messages[0]))
        users = find_users({pair.user for pair in pairs})
        taken, named = self._stored(pairs, users)
        usable: Pairs = []
        for pair in pairs:
            try:
                user = _check_user(pair, users.get(pair.user))
                self._check_key(pair, taken)
                self._check_name(pair, user, named)
            except ValidationError as error:
                problems.append(Problem(pair.line, error.messages[0]))
            else:
                usable.append((pair, user))
        return usable, problems

    def users_by_name(self, names: set[str]) -> Users:
        """Return the users with these names, and remember their primary keys."""
        model = get_user_model()
        users = model._default_manager.using(self.alias)
        try:
            batch = list(users.filter(**{f"{model.USERNAME_FIELD}__in": names}))
        except (TypeError, ValueError, ValidationError):
            batch = []  # usernames are numbers, say, and one of these isn't
        by_name: Users = {str(user.get_username()): user for user in batch}
        # Some user models, and some databases, ignore case.
        candidates = {name: by_name.get(name) or find_user(name) for name in names}
        found = {name: user for name, user in candidates.items() if user is not None}
        self.users |= {name: user.pk for name, user in found.items()}
        return found

    def locked_users(self, names: set[str]) -> Users:
        """Lock the remembered users with these names, and return them as stored now."""
        pks = {name: self.users[name] for name in names & self.users.keys()}
        locked = lock_users(pks.values())
        return {name: locked[pk] for name, pk in pks.items() if pk in locked}

    def _stored(
        self, pairs: list[ImportedPair], users: Users
    ) -> tuple[set[str], set[tuple[object, str]]]:
        """Return which of the API keys exist, and which names each user's live keys have."""
        stored = ApiKey._base_manager.using(self.alias).order_by()
        same = stored.filter(api_key__in=[pair.api_key for pair in pairs])
        live = stored.filter(
            user__in={user.pk for user in users.values()},
            name__in={pair.name for pair in pairs},
            live=True,
        )
        return set(same.values_list("api_key", flat=True)), set(live.values_list("user", "name"))

    def _check_key(self, pair: ImportedPair, taken: set[str]) -> None:
        key = {"api_key": pair.api_key}
        if pair.api_key in taken:
            raise ValidationError(_("API key %(api_key)s already exists."), params=key)
        line = self.line_of_key.setdefault(pair.api_key, pair.line)
        if line != pair.line:
            raise ValidationError(
                _("API key %(api_key)s is already on line %(line)d."),
                params={**key, "line": line},
            )

    def _check_name(self, pair: ImportedPair, user: User, named: set[tuple[object, str]]) -> None:
        whose = {"user": pair.user, "name": pair.name}
        slot = (user.pk, pair.name)
        if slot in named:
            raise ValidationError(
                _(
                    "User %(user)r already has a live key with the name %(name)r. Revoke it first, "
                    "or choose another name in the column 'name'."
                ),
                params=whose,
            )
        line = self.line_of_name.setdefault(slot, pair.line)
        if line != pair.line:
            raise ValidationError(
                _(
                    "User %(user)r has a key with the same name on line %(line)d. Add different "
                    "names in the column 'name'."
                ),
                params={**whose, "line": line},
            )


def _check_user(pair: ImportedPair, user: User | None) -> User:
    if user is None:
        if _may_be_secret(pair.user):
            raise ValidationError(_("The user is not a username. Are the columns mixed up?"))
        raise ValidationError(_("There is no user %(user)r."), params={"user": pair.user})
    try:
        check_target(user, None)
    except ValidationError as error:
        raise ValidationError(
            "%(user)r: %(problem)s", params={"user": pair.user, "problem": error.messages[0]}
        ) from None
    return user


@sensitive_variables()
def _check_form(pair: ImportedPair) -> None:
    """Check that the Authorization header would accept the pair."""
    api_key, api_secret = pair.api_key, pair.api_secret
    # API keys are shown, so none may be a secret.
    if api_key and (api_key == api_secret or looks_secret(api_key)):
        raise ValidationError(_("The API key is a secret. Are the columns mixed up?"))
    well_formed = _is_well_formed(api_key, api_secret)
    if not well_formed and not _is_well_formed(api_key, Secret("0")):
        raise ValidationError(
            _(
                "The API key must have 1 to %(length)d printable ASCII characters, without spaces "
                "or colons."
            ),
            params={"length": API_KEY_MAX_LENGTH},
        )
    key = {"api_key": api_key}
    if not api_secret:
        raise ValidationError(_("The secret of API key %(api_key)s is missing."), params=key)
    if len(api_secret) < SECRET_MIN_LENGTH:
        raise ValidationError(
            _(
                "The secret of API key %(api_key)s can be guessed: it has fewer than %(length)d "
                "characters. Generate a new one instead."
            ),
            params={**key, "length": SECRET_MIN_LENGTH},
        )
    if well_formed:
        return
    if api_secret.startswith(conf.SECRET_PREFIX) and not crypto.has_valid_checksum(api_secret):
        raise ValidationError(
            _(
                "The secret of API key %(api_key)s starts with %(prefix)s like generated ones, but "
                "its checksum is wrong. It was mistyped or cut off."
            ),
            params={**key, "prefix": conf.SECRET_PREFIX},
        )
    raise ValidationError(
        _(
            "The secret of API key %(api_key)s must have at most %(length)d printable ASCII "
            "characters, without spaces."
        ),
        params={**key, "length": API_SECRET_MAX_LENGTH},
    )


def _is_well_formed(api_key: str, api_secret: Secret) -> bool:
    """Whether the parser reads exactly this pair from a header."""
    credential = parse(Secret(f"token {api_key}:{api_secret}"), "token")
    return (
        credential is not None
        and credential.well_formed
        and (credential.api_key, credential.api_secret) == (api_key, api_secret)
    )


def _may_be_secret(text: str) -> bool:
    """Whether ``text`` has the form of a secret, which no message may show."""
    words = (text, text.rpartition(":")[2])
    return any(crypto.has_valid_checksum(word) or _FRAPPE_HALF.fullmatch(word) for word in words)
