"""Decides who may generate, change and revoke whose keys, and in which requests."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import policy
from ..base_models import POLICIES, AbstractApiKey
from ..conf import conf
from ..types import User
from . import rights, teams
from .requests import UNKNOWN, began_with_access_token, credential_of
from .rights import OWN_PERMISSION
from .teams import PERMISSION, Known

RESTRICTED = gettext_lazy(
    "This request can't manage API keys, because it used an access token, a read-only or scoped "
    "API key, or a replaced secret. Use the current secret of another API key, or sign in."
)
BEYOND_RIGHTS = gettext_lazy(
    "This user has permissions that you don't have. Ask a superuser to manage their API keys."
)


@dataclass(frozen=True)
class Actor:
    """Who manages keys.

    Attributes:
        user: the user that the request runs as; None if the project has no anonymous user.
        credential: what authenticated the request (``request.auth``); None for a session.
        history: whether to write the admin's history of keys. For its own forms, Django does it.
        total: how many keys the request changes.
    """

    user: Any
    credential: Any = None
    history: bool = True
    total: int = 1

    @classmethod
    def of(cls, request: HttpRequest, *, history: bool = True) -> Actor:
        """Return who sent ``request``. Not for async code."""
        credential = credential_of(request)
        if credential is None and began_with_access_token(request):
            credential = UNKNOWN
        return cls(getattr(request, "user", None), credential, history)

    def changing(self, total: int) -> Actor:
        """Return the same for a request that changes ``total`` keys."""
        actor = replace(self, total=total)
        actor._known.update(self._known)
        return actor

    @property
    def is_known(self) -> bool:
        """Whether a session or an API key authenticated the request. Pages refuse all others."""
        return self.credential is None or isinstance(self.credential, AbstractApiKey)

    @property
    def is_restricted(self) -> bool:
        """Whether the request's credential can't manage any keys.

        Only unscoped API keys that aren't read-only can. A replaced secret can't: it works for a
        short time only, and must not generate one that lasts.
        """
        credential = self.credential
        return credential is not None and not (
            isinstance(credential, AbstractApiKey)
            and not (credential.read_only or credential.scopes)
            and not credential.authenticated_by_old_secret
        )

    @property
    def may_generate(self) -> bool:
        """Whether this user has the permission to generate keys, and the request may use it."""
        return self._may_ask and bool(self.user.has_perm(PERMISSION))

    @property
    def may_serve_self(self) -> bool:
        """Whether this user may generate their own keys, by ``SELF_SERVICE`` or permission."""
        user = self.user
        if self.is_restricted or not (user and user.is_authenticated and user.is_active):
            return False
        return conf.SELF_SERVICE or (self._may_ask and bool(user.has_perm(OWN_PERMISSION)))

    @property
    def may_lead(self) -> bool:
        """Whether a backend may grant the permission for single users. Without a query."""
        return self._may_ask and teams.are_possible()

    @property
    def is_lead(self) -> bool:
        """Whether lists show this user the keys of others, by such a permission."""
        return self.may_lead and teams.leads_anyone(self.user)

    @property
    def _may_ask(self) -> bool:
        """Whether permissions count. A project's user model may have none."""
        user = self.user
        return bool(
            user and not self.is_restricted and user.is_active and hasattr(user, "has_perm")
        )

    def has_permission_for(self, user: User | AnonymousUser | None) -> bool:
        """Whether this user has the permission for the keys of ``user``, or for all keys."""
        return self.may_generate or (
            user is not None
            and self.may_lead
            and teams.leads(self.user, user, self._known.get(user.pk))
        )

    def may_manage(self, user: User | AnonymousUser | None) -> bool:
        """Whether this user may manage the keys of ``user``, or unowned ones, by permission.

        If ``user`` has more rights (as a superuser, as staff, or because they can change what
        others may do), only a superuser may. A team lead may not if ``user`` leads other users.
        """
        if not self.has_permission_for(user):
            return False
        if self._is_superuser or user is None:
            return True
        if rights.exceed(user, self.user):
            return False
        return self.may_generate or not teams.exceed(user, self.user, self._known.get(user.pk))

    def may_see(self, key: AbstractApiKey) -> bool:
        """Whether this user may see ``key``, even if lists don't contain it."""
        return key.user_id == self.user.pk or self.has_permission_for(key.user)

    def visible(self, keys: QuerySet[Any]) -> QuerySet[Any]:
        """Return the ``keys`` that lists show to this user."""
        if self.may_generate:
            return keys
        own = Q(user=self.user.pk)
        if self.may_lead:
            own |= Q(user__in=teams.led_by(self.user))
        shown: QuerySet[Any] = keys.filter(own)
        return shown

    def preload(self, users: Iterable[User | None]) -> None:
        """Read what :meth:`may_manage` needs for all ``users``, with few queries."""
        if self._is_superuser or not (self.may_generate or self.may_lead):
            return
        owners = [user for user in users if user is not None]
        if not self.may_generate:
            self._known.update(teams.read(self.user, owners))
        rights.load_permissions(owners)

    @cached_property
    def _known(self) -> dict[object, Known]:
        return {}  # what preload() has read about users, by primary key

    @property
    def _is_superuser(self) -> bool:
        return bool(getattr(self.user, "is_superuser", False))

    def may_generate_for(self, user: User | AnonymousUser | None) -> bool:
        """Whether this user may generate keys for ``user``, by permission or for themselves."""
        return (self.may_serve_self and user == self.user) or self.may_manage(user)

    def exceeded_by(self, key: AbstractApiKey) -> set[str]:
        """Return the policies in which ``key`` allows more than the request's credential."""
        if self.credential is None:
            return set()
        held = self.credential.policies
        wider = policy.widened(held, key.policies)
        # Without its own rate, a credential has the site's, which is unknown here.
        return wider if held["rate_limit"] else wider - {"rate_limit"}

    def narrow(self, key: AbstractApiKey, chosen: Collection[str]) -> None:
        """Limit a new ``key`` to the policies of the credential, except for those ``chosen``."""
        for name in self.exceeded_by(key).difference(chosen):
            setattr(key, name, copy.copy(getattr(self.credential, name)))

    def may_revoke(self, key: AbstractApiKey) -> bool:
        """Whether this user may revoke ``key``. Anyone who may generate keys may stop a leak."""
        return (
            (self.may_serve_self and key.user_id == self.user.pk)
            or self.may_generate  # doesn't read the user
            or self.has_permission_for(key.user)
        )


def check_manager(user: User | AnonymousUser | None, by: Actor | None) -> None:
    """Raise PermissionDenied unless ``by`` may manage the keys of ``user``.

    Here and below, ``by`` is None for trusted code, which may do everything.
    """
    if by is None or by.may_generate_for(user):
        return
    if by.is_restricted:
        raise PermissionDenied(str(RESTRICTED))
    if by.has_permission_for(user):
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

    Users need the permission to widen even their own keys.
    """
    widened = policy.widened(before, key.policies)
    if not widened or by is None:
        return
    if not by.may_manage(key.user):
        text = _(
            "You can't extend what an API key may do, or give it its own rate limit. "
            "Ask an administrator."
        )
        raise PermissionDenied(text)
    check_reach(key, by, widened)


def check_reach(key: AbstractApiKey, by: Actor | None, names: Collection[str] = POLICIES) -> None:
    """Raise PermissionDenied if ``key`` allows more than the credential of ``by``.

    Call it before ``key`` gets another user, or a secret, which the response would contain. Only
    the policies in ``names`` count.
    """
    wider = by.exceeded_by(key).intersection(names) if by is not None else set()
    if wider:
        labels = [str(field.verbose_name) for field in key._meta.fields if field.name in wider]
        text = _(
            "An API key can't manage a key that allows more than itself. "
            "Restrict that one first (%(policies)s), or sign in instead."
        )
        raise PermissionDenied(text % {"policies": ", ".join(labels)})
