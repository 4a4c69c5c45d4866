"""Who may make, rotate and revoke whose keys, and in which requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _

from . import policy
from .base_models import AbstractApiKey
from .conf import conf

PERMISSION = "frappe_tokens.generate_keys"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for something to be done to a key.

    Attributes:
        user: the user that the request runs as; None where a project has no anonymous user.
        credential: what the request came with (``request.auth``); None for a session.
        history: whether what is done is to be written into the admin's history. The admin's own
            pages write it themselves.
    """

    user: Any
    credential: Any = None
    history: bool = True

    @property
    def is_restricted(self) -> bool:
        """Whether the request came with a key that is read-only or scoped, or with a foreign one.

        Such a request does nothing to keys, whoever its user is.
        """
        credential = self.credential
        return credential is not None and not (
            isinstance(credential, AbstractApiKey)
            and not credential.read_only
            and not credential.scopes
        )

    @property
    def may_generate(self) -> bool:
        """Whether keys may be made, rotated or revoked by this user in this request.

        The user needs the permission ``frappe_tokens.generate_keys``, and the request a session
        or a key that is neither read-only nor scoped.
        """
        user = self.user
        return bool(
            user
            and not self.is_restricted
            and user.is_active
            # A user model of one's own may know no permissions.
            and hasattr(user, "has_perm")
            and user.has_perm(PERMISSION)
        )

    @property
    def may_serve_self(self) -> bool:
        """Whether this user may do so with their own keys, with ``SELF_SERVICE``."""
        user = self.user
        return bool(
            user
            and user.is_authenticated
            and user.is_active
            and not self.is_restricted
            and conf.SELF_SERVICE
        )

    def may_manage(self, user: Any) -> bool:
        """Whether keys of ``user`` may be made by permission: a superuser's by a superuser only."""
        return self.may_generate and (
            not getattr(user, "is_superuser", False) or getattr(self.user, "is_superuser", False)
        )

    def may_generate_for(self, user: Any) -> bool:
        """Whether keys of ``user`` may be made: by permission, or because they are one's own."""
        return (self.may_serve_self and user == self.user) or self.may_manage(user)

    def may_revoke(self, key: AbstractApiKey) -> bool:
        """Whether ``key`` may be ended. A superuser's may be by whoever may generate: it leaked."""
        return (self.may_serve_self and key.user_id == self.user.pk) or self.may_generate


def check_target(user: Any, by: Actor | None) -> None:
    """Whether a key may be made for ``user``, now and by ``by`` (None: trusted code).

    Raises:
        PermissionDenied: not by this one.
        ValidationError: not by anyone, as the user is inactive.
    """
    check_manager(user, by)
    if not user.is_active:
        raise ValidationError(
            _("The user is inactive. Activate the user first."), code="user_inactive"
        )


def check_manager(user: Any, by: Actor | None) -> None:
    """Whether ``by`` may do something to the keys of ``user``.

    Raises:
        PermissionDenied: no.
    """
    if by is not None and not by.may_generate_for(user):
        raise PermissionDenied(
            _("Only a superuser may generate API keys for a superuser.")
            if by.may_generate
            else _("You may not generate API keys.")
        )


def check_widening(before: dict[str, Any], key: AbstractApiKey, by: Actor | None) -> None:
    """Whether ``key``, whose policies were ``before``, may now have those that it has.

    Raises:
        PermissionDenied: its user, who serves themselves, would take away what narrows it.
    """
    widened = policy.widens(before, key.policies)
    if widened and by is not None and not by.may_manage(key.user):
        raise PermissionDenied(
            _(
                "You may not widen what an API key may do, nor give it a rate of its own. "
                "Ask an administrator."
            )
        )
