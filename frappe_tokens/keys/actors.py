"""Decides who may generate, change and revoke whose keys, and in which requests."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, load_backend
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import policy
from ..base_models import POLICIES, AbstractApiKey
from ..conf import conf
from ..types import User
from . import rights

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest

PERMISSION = "frappe_tokens.generate_keys"

RESTRICTED = gettext_lazy(
    "This request can't manage API keys, because it used an access token, a read-only or scoped "
    "API key, or a replaced secret. Use the current secret of another API key, or sign in."
)
BEYOND_RIGHTS = gettext_lazy(
    "This user has permissions that you don't have. Ask a superuser to manage their API keys."
)

# Login forms call its ``authenticate()``, which accepts an access token in the header, query or
# body of the request instead of a password.
_OAUTH2_BACKEND = "oauth2_provider.backends.OAuth2Backend"

# The credential of a request that has one, if its ``auth`` doesn't say which.
UNKNOWN = object()


def credential_of(request: HttpRequest) -> Any:
    """Return what authenticated ``request``; None for a session, or for nothing.

    A request with an ``Authorization`` header never counts as a session's. A middleware may have
    set its user by that header without setting ``auth``, like django-oauth-toolkit's.
    """
    credential = getattr(request, "auth", None)
    if credential is None and request.META.get("HTTP_AUTHORIZATION"):
        return UNKNOWN
    return credential


@dataclass(frozen=True, slots=True)
class Actor:
    """Who manages keys.

    Attributes:
        user: the user that the request runs as; None if a project has no anonymous user.
        credential: what authenticated the request (``request.auth``); None for a session.
        history: write the admin's history. For the forms of the admin, Django writes it.
    """

    user: Any
    credential: Any = None
    history: bool = True

    @classmethod
    def of(cls, request: HttpRequest, *, history: bool = True) -> Actor:
        """Return who sent ``request``. For the app's own pages; not for async code."""
        credential = credential_of(request)
        if credential is None and _began_with_access_token(request):
            credential = UNKNOWN
        return cls(getattr(request, "user", None), credential, history)

    @property
    def is_known(self) -> bool:
        """Whether a session or an API key authenticated the request. Our pages accept no others."""
        return self.credential is None or isinstance(self.credential, AbstractApiKey)

    @property
    def is_restricted(self) -> bool:
        """Whether the credential of the request can't manage keys, whoever its user is.

        Only unscoped API keys that aren't read-only can. An old secret in its grace period can't,
        because it ends soon and must not generate one that lasts.
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
        """Whether this user has the permission to generate keys, and the request may use it."""
        user = self.user
        return bool(
            user
            and not self.is_restricted
            and user.is_active
            # A project's user model may have no permissions.
            and hasattr(user, "has_perm")
            and user.has_perm(PERMISSION)
        )

    @property
    def may_serve_self(self) -> bool:
        """Whether this user may do so with their own keys, by ``SELF_SERVICE``."""
        user = self.user
        signed_in = bool(user and user.is_authenticated and user.is_active)
        return signed_in and not self.is_restricted and conf.SELF_SERVICE

    def may_manage(self, user: User | AnonymousUser | None) -> bool:
        """Whether this user may manage the keys of ``user``, or unowned ones, by permission.

        Only a superuser may if ``user`` has more rights: a superuser, staff, or someone who can
        change what others may do.
        """
        return self.may_generate and (
            self._is_superuser or user is None or not rights.exceed(user, self.user)
        )

    def preload(self, users: Iterable[User | None]) -> None:
        """Read what :meth:`may_manage` needs to know about each of ``users``, with few queries."""
        if self.may_generate and not self._is_superuser:
            rights.load_permissions(users)

    @property
    def _is_superuser(self) -> bool:
        return bool(getattr(self.user, "is_superuser", False))

    def may_generate_for(self, user: User | AnonymousUser | None) -> bool:
        """Whether this user may generate keys for ``user``: by permission, or as their own."""
        return (self.may_serve_self and user == self.user) or self.may_manage(user)

    def exceeded_by(self, key: AbstractApiKey) -> set[str]:
        """Return the policies by which ``key`` allows more than the credential of the request."""
        if self.credential is None:
            return set()
        held = self.credential.policies
        wider = policy.widened(held, key.policies)
        # Without its own rate, a credential has the site's, which is unknown here.
        return wider if held["rate_limit"] else wider - {"rate_limit"}

    def narrow(self, key: AbstractApiKey, chosen: Collection[str]) -> None:
        """Give a new ``key`` the policies of the credential, except for those ``chosen``."""
        for name in self.exceeded_by(key).difference(chosen):
            setattr(key, name, copy.copy(getattr(self.credential, name)))

    def may_revoke(self, key: AbstractApiKey) -> bool:
        """Whether this user may revoke ``key``: anyone who may generate may stop a leak."""
        return (self.may_serve_self and key.user_id == self.user.pk) or self.may_generate


def _began_with_access_token(request: HttpRequest) -> bool:
    """Whether an access token, and not a person, began the session of ``request``."""
    session = getattr(request, "session", None)
    path = session.get(BACKEND_SESSION_KEY, "") if session is not None else ""
    # Django ignores sessions by other backends too.
    bases = type(load_backend(path)).__mro__ if path in settings.AUTHENTICATION_BACKENDS else ()
    return any(f"{base.__module__}.{base.__qualname__}" == _OAUTH2_BACKEND for base in bases)


def check_manager(user: User | AnonymousUser | None, by: Actor | None) -> None:
    """Raise PermissionDenied unless ``by`` may manage the keys of ``user``.

    Here and below, ``by`` is None for trusted code, which may do everything.
    """
    if by is None or by.may_generate_for(user):
        return
    if by.is_restricted:
        raise PermissionDenied(str(RESTRICTED))
    if by.may_generate:
        raise PermissionDenied(str(BEYOND_RIGHTS))
    raise PermissionDenied(_("You don't have permission to generate API keys."))


def check_target(user: User, by: Actor | None) -> None:
    """Check that ``by`` may manage the keys of ``user``, and that the user is active."""
    check_manager(user, by)
    if not user.is_active:
        raise ValidationError(
            _("The user is inactive. Activate the user first."), code="user_inactive"
        )


def check_widening(before: dict[str, object], key: AbstractApiKey, by: Actor | None) -> None:
    """Raise PermissionDenied if ``by`` may not widen the policies ``before`` to those of ``key``.

    Users may not widen their own keys without the permission.
    """
    widened = policy.widened(before, key.policies)
    if not widened or by is None:
        return
    if not by.may_manage(key.user):
        raise PermissionDenied(
            _(
                "You can't extend what an API key may do, or give it its own rate limit. "
                "Ask an administrator."
            )
        )
    check_reach(key, by, widened)


def check_reach(key: AbstractApiKey, by: Actor | None, names: Collection[str] = POLICIES) -> None:
    """Raise PermissionDenied if ``key`` allows more than the credential of the request of ``by``.

    Call it before ``key`` gets a secret, which the response would contain, or another user.

    Args:
        key: the key with its new policies.
        by: who manages it.
        names: the policies to compare.
    """
    wider = by.exceeded_by(key).intersection(names) if by is not None else set()
    if wider:
        labels = [str(field.verbose_name) for field in key._meta.fields if field.name in wider]
        text = _(
            "An API key can't manage a key that allows more than itself. "
            "Restrict that one first (%(policies)s), or sign in instead."
        )
        raise PermissionDenied(text % {"policies": ", ".join(labels)})
