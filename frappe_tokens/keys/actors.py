"""Who may make, rotate and revoke whose keys, and in which requests."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, load_backend
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import policy
from ..base_models import POLICIES, AbstractApiKey
from ..conf import conf
from . import rights

PERMISSION = "frappe_tokens.generate_keys"

RESTRICTED = gettext_lazy(
    "This request may not manage API keys: it came with an access token, a read-only or scoped API "
    "key, or a secret that was replaced. Use the current secret of another key, or sign in."
)
BEYOND_RIGHTS = gettext_lazy(
    "This user has rights that you don't have yourself. Ask a superuser to manage their API keys."
)

# Every login form asks its ``authenticate()``, which takes an access token in the header, the query
# or the body of the request in place of a password.
_OAUTH2_BACKEND = "oauth2_provider.backends.OAuth2Backend"

# Stands for the credential of a request that has one, and whose ``auth`` does not say which.
UNKNOWN: Any = object()


def credential_of(request: Any) -> Any:
    """What ``request``, Django's or DRF's, came with; None for a session, or for nothing.

    A request with an ``Authorization`` header never counts as a session's: a middleware may have
    set its user by that header and left ``auth`` out, as django-oauth-toolkit's does.
    """
    credential = getattr(request, "auth", None)
    if credential is None and request.META.get("HTTP_AUTHORIZATION"):
        return UNKNOWN
    return credential


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

    @classmethod
    def of(cls, request: Any, *, history: bool = True) -> Actor:
        """Who sent ``request``, Django's or DRF's. For the app's own pages; not for async code."""
        credential = credential_of(request)
        if credential is None and _began_with_access_token(request):
            credential = UNKNOWN
        return cls(getattr(request, "user", None), credential, history)

    @property
    def is_known(self) -> bool:
        """Whether the request came with a session or an API key. Our pages are for no others."""
        return self.credential is None or isinstance(self.credential, AbstractApiKey)

    @property
    def is_restricted(self) -> bool:
        """Whether the request came with a credential that manages no keys, whoever its user is.

        That is one that is not an API key, a key that is read-only or scoped, and an old secret in
        its grace period: it ends soon, and must not make one that lasts.
        """
        credential = self.credential
        return credential is not None and not (
            isinstance(credential, AbstractApiKey)
            and not credential.read_only
            and not credential.scopes
            and not credential.authenticated_by_old_secret
        )

    @property
    def may_generate(self) -> bool:
        """Whether keys may be made, rotated or revoked by this user in this request.

        The user needs the permission ``frappe_tokens.generate_keys``, and the request a session
        or a key that is not restricted.
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
        """Whether keys of ``user``, or of None, may be made, rotated and changed by permission.

        Nobody but a superuser gets at the keys of those who hold more rights than they do: the key
        of a superuser, of staff, or of a user who can change what others may do.
        """
        return self.may_generate and (
            self._is_superuser or user is None or not rights.exceed(user, self.user)
        )

    def preload(self, users: Iterable[Any]) -> None:
        """Read with few queries what :meth:`may_manage` needs to know of each of ``users``."""
        if self.may_generate and not self._is_superuser:
            rights.load_permissions(users)

    @property
    def _is_superuser(self) -> bool:
        return bool(getattr(self.user, "is_superuser", False))

    def may_generate_for(self, user: Any) -> bool:
        """Whether keys of ``user`` may be made: by permission, or because they are one's own."""
        return (self.may_serve_self and user == self.user) or self.may_manage(user)

    def exceeded_by(self, key: AbstractApiKey) -> set[str]:
        """The policies by which ``key`` reaches further than the credential of the request."""
        if self.credential is None:
            return set()
        held: dict[str, Any] = self.credential.policies
        wider = policy.widened(held, key.policies)
        # Without a rate of its own, a credential has the site's, of which nothing is known here.
        return wider if held["rate_limit"] else wider - {"rate_limit"}

    def narrow(self, key: AbstractApiKey, chosen: Collection[str]) -> None:
        """Give a new ``key`` the credential's policies, except for those that were ``chosen``."""
        for name in self.exceeded_by(key).difference(chosen):
            setattr(key, name, copy.copy(getattr(self.credential, name)))

    def may_revoke(self, key: AbstractApiKey) -> bool:
        """Whether ``key`` may be ended: a key that leaked, by everyone who may generate."""
        return (self.may_serve_self and key.user_id == self.user.pk) or self.may_generate


def _began_with_access_token(request: Any) -> bool:
    """Whether an access token began the session of ``request``, and no person signed in."""
    session = getattr(request, "session", None)
    path = session.get(BACKEND_SESSION_KEY, "") if session is not None else ""
    # To Django as well, a session by any other backend is nobody's.
    return path in settings.AUTHENTICATION_BACKENDS and any(
        f"{base.__module__}.{base.__qualname__}" == _OAUTH2_BACKEND
        for base in type(load_backend(path)).__mro__
    )


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
    if by is None or by.may_generate_for(user):
        return
    if by.is_restricted:
        raise PermissionDenied(str(RESTRICTED))
    raise PermissionDenied(
        str(BEYOND_RIGHTS) if by.may_generate else _("You may not generate API keys.")
    )


def check_widening(before: dict[str, Any], key: AbstractApiKey, by: Actor | None) -> None:
    """Whether ``key``, whose policies were ``before``, may now have those that it has.

    Raises:
        PermissionDenied: its user, who serves themselves, would take away what narrows it, or it
            would reach further than the credential of the request.
    """
    widened = policy.widened(before, key.policies)
    if not widened or by is None:
        return
    if not by.may_manage(key.user):
        raise PermissionDenied(
            _(
                "You may not widen what an API key may do, nor give it a rate of its own. "
                "Ask an administrator."
            )
        )
    check_reach(key, by, widened)


def check_reach(key: AbstractApiKey, by: Actor | None, names: Collection[str] = POLICIES) -> None:
    """Whether ``key`` reaches no further than what the request of ``by`` came with.

    Ask it before ``key`` gets a secret, which the request would take along, or another user.

    Args:
        key: as it would be.
        by: who asks.
        names: the policies that count.

    Raises:
        PermissionDenied: it reaches further.
    """
    wider = by.exceeded_by(key).intersection(names) if by is not None else set()
    if wider:
        fields = [field for field in key._meta.fields if field.name in wider]
        raise PermissionDenied(
            _(
                "No API key may reach further than the one that this request came with. "
                "Narrow it first (%(policies)s), or sign in instead."
            )
            % {"policies": ", ".join(str(field.verbose_name) for field in fields)}
        )
