"""Validators of the models' fields. Migrations import them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from .addresses import meant_network, parse_network, shortest_network
from .conf import SCOPE, conf
from .rates import parse_rate

NAME_MAX_LENGTH = 100
DESCRIPTION_MAX_LENGTH = 500
METADATA_MAX_LENGTH = 4096  # of its JSON
METADATA_MAX_DEPTH = 10  # MariaDB stores at most 32
RATE_MAX_LENGTH = 30
REASON_MAX_LENGTH = 200

_METADATA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,49}")

# Every request reads the stored lists.
LIST_MAX_LENGTH = 100
ITEM_MAX_LENGTH = 200


def validate_scopes(scopes: Any) -> None:
    """Raise ValidationError unless ``scopes`` is a list of scopes."""
    _check_list(scopes, _("Enter the scopes as a list of strings."))
    for scope in scopes:
        if not SCOPE.fullmatch(scope):
            problem = _(
                "%(scope)r is not a valid scope. Use printable ASCII characters without spaces, "
                "commas, quotes and backslashes."
            )
            raise ValidationError(problem, params={"scope": scope})


def validate_declared(scopes: Collection[str], held: Collection[str] = ()) -> None:
    """Raise ValidationError unless the project declares ``scopes``, or doesn't declare any.

    Args:
        scopes: the new scopes of a key.
        held: those that the key already has. They may stay, even if they're no longer declared.
    """
    declared = conf.SCOPES
    if declared is None:
        return
    for scope in scopes:
        if scope not in declared and scope not in held:
            raise ValidationError(
                _("%(scope)r is not a scope of this site. The scopes are: %(scopes)s."),
                code="scopes",
                params={"scope": scope, "scopes": ", ".join(declared) or "-"},
            )


def validate_networks(networks: Any) -> None:
    """Raise ValidationError unless ``networks`` is a list of addresses and CIDR networks."""
    _check_list(networks, _("Enter the allowed addresses as a list of strings."))
    for network in networks:
        try:
            parse_network(network)
        except ValueError as error:
            meant = meant_network(network)
            problem = (
                _("%(network)s is not a network. Did you mean %(meant)s?")
                if meant
                else _(
                    "%(network)s is not a valid address or network. Enter one such as 192.0.2.7 "
                    "or 2001:db8::/32."
                )
            )
            params = {"network": network, "meant": meant}
            raise ValidationError(problem, params=params) from error


def clean_networks(networks: Any) -> list[str]:
    """Return ``networks`` in their shortest form, each once, or raise ValidationError."""
    validate_networks(networks)
    return list(dict.fromkeys(map(shortest_network, networks)))


def validate_rate(rate: str) -> None:
    """Raise ValidationError unless ``rate`` is one that DRF understands, such as 100/minute."""
    try:
        parse_rate(rate)
        if len(rate) > RATE_MAX_LENGTH:
            raise ValueError("The rate is too long.")
    except ValueError as error:
        problem = _("Enter a rate as <number>/<period>, for example 100/minute.")
        raise ValidationError(problem, code="rate_limit") from error


def validate_metadata(metadata: Any) -> None:
    """Raise ValidationError unless ``metadata`` is a small JSON object.

    Its names start with a letter, because databases read a number as a position in a list.
    """
    if not isinstance(metadata, dict) or not all(
        isinstance(name, str) and _METADATA_NAME.fullmatch(name) for name in metadata
    ):
        raise ValidationError(
            _(
                "Enter the metadata as a JSON object. Each name starts with a letter and has at "
                "most 50 letters, digits, '_', '-' or '.'."
            )
        )
    if _is_deeper(metadata, METADATA_MAX_DEPTH):
        raise ValidationError(
            _("The metadata must be nested at most %(depth)d levels deep."),
            params={"depth": METADATA_MAX_DEPTH},
        )
    try:
        text = json.dumps(metadata, allow_nan=False)
        json.dumps(metadata, ensure_ascii=False).encode()
    except (ValueError, TypeError) as error:
        raise ValidationError(_("The metadata can't be written as JSON.")) from error
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValidationError(_("The metadata must not contain NUL characters."))
    if len(text) > METADATA_MAX_LENGTH:
        raise ValidationError(
            _("The metadata must have at most %(length)d characters of JSON."),
            params={"length": METADATA_MAX_LENGTH},
        )


def _is_deeper(value: object, depth: int) -> bool:
    """Whether objects and lists in ``value`` are nested in more than ``depth`` levels."""
    if not isinstance(value, dict | list | tuple):
        return False
    children = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(child, depth - 1) for child in children)


def _check_list(items: Any, problem: str) -> None:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValidationError(problem)
    if len(items) > LIST_MAX_LENGTH or any(len(item) > ITEM_MAX_LENGTH for item in items):
        raise ValidationError(
            _("Enter at most %(items)d items of at most %(length)d characters each."),
            params={"items": LIST_MAX_LENGTH, "length": ITEM_MAX_LENGTH},
        )
