"""Who may make, rotate and revoke whose keys, and in which requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _

from .base_models import AbstractApiKey

PERMISSION = "frappe_tokens.generate_keys"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for something to be done to a key.

    Attributes:
        user: the user that the request runs as; None where a project has no anonymous user.
        credential: what the request came with (``request.auth``); None for a session.
    """

    user: Any
    credential: Any = None

    @property
    def may_generate(self) -> bool:
        """Whether keys may be made, rotated or revoked by this user in this request.

        The user needs the permission ``frappe_tokens.generate_keys``, and the request a session
        or a key that is neither read-only nor scoped.
        """
        credential = self.credential
        unrestricted = credential is None or (
            isinstance(credential, AbstractApiKey)
            and not credential.read_only
            and not credential.scopes
        )
        user = self.user
        return bool(user and unrestricted and user.is_active and user.has_perm(PERMISSION))

    def may_generate_for(self, user: Any) -> bool:
        """The same, for a key of ``user``: only a superuser makes a superuser's key."""
        return self.may_generate and (
            not getattr(user, "is_superuser", False) or getattr(self.user, "is_superuser", False)
        )


def check_target(user: Any, by: Actor | None) -> None:
    """Whether a key may be made for ``user``, now and by ``by`` (None: trusted code).

    Raises:
        PermissionDenied: not by this one.
        ValidationError: not by anyone, as the user is inactive.
    """
    if by is not None and not by.may_generate_for(user):
        raise PermissionDenied(
            _("Only a superuser may generate API keys for a superuser.")
            if by.may_generate
            else _("You may not generate API keys.")
        )
    if not user.is_active:
        raise ValidationError(
            _("The user is inactive. Activate the user first."), code="user_inactive"
        )
