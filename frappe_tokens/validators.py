"""Validators of the models' fields. Migrations import them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from .addresses import parse_network
from .rates import parse_rate

NAME_MAX_LENGTH = 100
RATE_MAX_LENGTH = 30
REASON_MAX_LENGTH = 200

# Every request reads the stored lists.
LIST_MAX_LENGTH = 100
ITEM_MAX_LENGTH = 200


def validate_scopes(scopes: Any) -> None:
    """Raise ValidationError unless ``scopes`` is a list of scopes (RFC 6749, section 3.3).

    Commas are not allowed, because forms separate scopes by them.
    """
    _check_list(scopes, _("Enter the scopes as a list of strings."))
    for scope in scopes:
        if not scope or not all(" " < char <= "~" and char not in '",\\' for char in scope):
            problem = _(
                "%(scope)r is not a valid scope. Use printable ASCII characters without spaces, "
                "commas, quotes and backslashes."
            )
            raise ValidationError(problem, params={"scope": scope})


def validate_networks(networks: Any) -> None:
    """Raise ValidationError unless ``networks`` is a list of addresses and CIDR networks."""
    _check_list(networks, _("Enter the allowed addresses as a list of strings."))
    for network in networks:
        try:
            parse_network(network)
        except ValueError as error:
            problem = _(
                "%(network)s is not a valid address or network. Enter one such as 192.0.2.7 or "
                "2001:db8::/32."
            )
            raise ValidationError(problem, params={"network": network}) from error


def validate_rate(rate: str) -> None:
    """Raise ValidationError unless ``rate`` is one that DRF understands, such as 100/minute."""
    try:
        parse_rate(rate)
        if len(rate) > RATE_MAX_LENGTH:
            raise ValueError("The rate is too long.")
    except ValueError as error:
        problem = _("Enter a rate as <number>/<period>, for example 100/minute.")
        raise ValidationError(problem, code="rate_limit") from error


def _check_list(items: Any, problem: str) -> None:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValidationError(problem)
    if len(items) > LIST_MAX_LENGTH or any(len(item) > ITEM_MAX_LENGTH for item in items):
        raise ValidationError(
            _("Enter at most %(items)d items of at most %(length)d characters each."),
            params={"items": LIST_MAX_LENGTH, "length": ITEM_MAX_LENGTH},
        )
