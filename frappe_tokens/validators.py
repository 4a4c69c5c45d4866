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
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise ValidationError(_("Enter the scopes as a list of strings."))
    _check_size(scopes)
    for scope in scopes:
        if not scope or not all(" " < char <= "~" and char not in '",\\' for char in scope):
            raise ValidationError(
                _(
                    "%(scope)r is not a valid scope. Use printable ASCII characters without "
                    "spaces, commas, quotes and backslashes."
                ),
                params={"scope": scope},
            )


def validate_networks(networks: Any) -> None:
    """Raise ValidationError unless ``networks`` is a list of addresses and CIDR networks."""
    if not isinstance(networks, list) or not all(isinstance(item, str) for item in networks):
        raise ValidationError(_("Enter the allowed addresses as a list of strings."))
    _check_size(networks)
    for network in networks:
        try:
            parse_network(network)
        except ValueError as error:
            raise ValidationError(
                _(
                    "%(network)s is not a valid address or network. Enter one such as 192.0.2.7 "
                    "or 2001:db8::/32."
                ),
                params={"network": network},
            ) from error


def validate_rate(rate: str) -> None:
    """Raise ValidationError unless ``rate`` is one that DRF understands, such as 100/minute."""
    problem = ValidationError(
        _("Enter a rate as <number>/<period>, for example 100/minute."), code="rate_limit"
    )
    try:
        parse_rate(rate)
    except ValueError as error:
        raise problem from error
    if len(rate) > RATE_MAX_LENGTH:
        raise problem


def _check_size(items: list[str]) -> None:
    if len(items) > LIST_MAX_LENGTH or any(len(item) > ITEM_MAX_LENGTH for item in items):
        raise ValidationError(
            _("Enter at most %(items)d items of at most %(length)d characters each."),
            params={"items": LIST_MAX_LENGTH, "length": ITEM_MAX_LENGTH},
        )
