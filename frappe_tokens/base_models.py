"""The abstract base of all sources of keys. Importable without installing the app."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db import models, router, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from . import crypto, policy
from .credentials import API_KEY_MAX_LENGTH
from .db import WritesChangesOnly
from .fields import ExactCharField
from .signals import keys_updated
from .validators import (
    RATE_MAX_LENGTH,
    REASON_MAX_LENGTH,
    validate_networks,
    validate_rate,
    validate_scopes,
)

_Key = TypeVar("_Key", bound="AbstractApiKey")

# The fields for what a key may do, from where, how often and for how long.
POLICIES = ("scopes", "read_only", "allowed_ips", "rate_limit", "expires_at", "self_rotate")


class KeyState(models.TextChoices):
    """Whether a key can be used."""

    ACTIVE = "active", _("Active")
    DISABLED = "disabled", pgettext_lazy("state of a key", "Disabled")
    EXPIRED = "expired", _("Expired")
    REVOKED = "revoked", _("Revoked")

    def condition(self) -> Q:
        """Return the condition for keys that are in this state now."""
        if self == KeyState.REVOKED:
            return Q(revoked_at__isnull=False)
        now, unrevoked = timezone.now(), Q(revoked_at__isnull=True)
        if self == KeyState.DISABLED:
            return unrevoked & Q(disabled_at__isnull=False)
        enabled = unrevoked & Q(disabled_at__isnull=True)
        if self == KeyState.EXPIRED:
            return enabled & Q(expires_at__lte=now)
        return enabled & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))


class ApiKeyQuerySet(models.QuerySet[_Key]):
    """A queryset whose writes invalidate cached keys. Django's signals cover single instances.

    Build the manager of your own source of keys from it:
    ``objects = MyManager.from_queryset(ApiKeyQuerySet)()``.
    """

    def stored(self) -> ApiKeyQuerySet[_Key]:
        """Read from the database that keys are written to: a replica may lag behind."""
        keys: ApiKeyQuerySet[_Key] = self.using(router.db_for_write(self.model))
        return keys

    def update(self, **kwargs: Any) -> int:
        self._for_write = True
        # In a transaction, so that the cache is notified before the commit.
        with transaction.atomic(using=self.db, savepoint=False):
            rows = super().update(**kwargs)
            if rows:
                keys_updated.send(sender=self.model, using=self.db)
        return rows

    def bulk_create(self, objs: Iterable[_Key], *args: Any, **kwargs: Any) -> list[_Key]:
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            created = super().bulk_create(objs, *args, **kwargs)
            # New keys are in no cache.
            if kwargs.get("update_conflicts") or any(args[2:]):
                keys_updated.send(sender=self.model, using=self.db)
        return created


def _actor(verbose_name: Any) -> Any:
    return models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=verbose_name,
    )


class AbstractApiKey(WritesChangesOnly, models.Model):
    """An API key with its secret's digest and its policies.

    A concrete subclass is a source of keys. Its requests run as ``user``, which a subclass may
    redefine as another relation to the user model. Let its ``Meta`` inherit ``AbstractApiKey.Meta``
    for the constraints.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="%(app_label)s_%(class)ss",
        verbose_name=_("user"),
    )
    api_key = ExactCharField(
        _("API key"),
        max_length=API_KEY_MAX_LENGTH,
        unique=True,
        editable=False,
        default=crypto.generate_api_key,
        help_text=_("Identifies the key. It isn't secret and never changes."),
    )
    secret_digest = models.CharField(
        max_length=crypto.DIGEST_MAX_LENGTH, blank=True, default="", editable=False
    )
    previous_digest = models.CharField(
        max_length=crypto.DIGEST_MAX_LENGTH, blank=True, default="", editable=False
    )
    previous_expires_at = models.DateTimeField(
        _("old secret works until"), null=True, blank=True, editable=False
    )
    previous_used_at = models.DateTimeField(
        _("old secret last used"), null=True, blank=True, editable=False
    )
    scopes = models.JSONField(
        _("scopes"),
        default=list,
        blank=True,
        validators=[validate_scopes],
        help_text=_("With scopes, the key opens only the views whose scopes it has."),
    )
    read_only = models.BooleanField(
        _("read-only"), default=False, help_text=_("Allow only GET, HEAD and OPTIONS.")
    )
    allowed_ips = models.JSONField(
        _("allowed addresses"),
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text=_(
            "Addresses or networks that the key can be used from. Leave empty to allow all."
        ),
    )
    rate_limit = models.CharField(
        _("rate limit"),
        max_length=RATE_MAX_LENGTH,
        blank=True,
        default="",
        validators=[validate_rate],
        help_text=_("For views that limit the rate of each key, for example 100/minute."),
    )
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    # From when the expiry was given. A key that rotates itself gets no more.
    lifetime = models.DurationField(null=True, blank=True, editable=False)
    self_rotate = models.BooleanField(
        _("may rotate itself"),
        default=False,
        help_text=_("Requests with the key may replace its secret."),
    )
    disabled_at = models.DateTimeField(_("disabled"), null=True, blank=True, editable=False)
    disabled_by = _actor(_("disabled by"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    revoked_by = _actor(_("revoked by"))
    revoked_reason = models.CharField(
        _("reason"), max_length=REASON_MAX_LENGTH, blank=True, default="", editable=False
    )
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    last_used_ip = models.GenericIPAddressField(
        _("last used from"), null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = _actor(_("created by"))
    rotated_at = models.DateTimeField(_("secret generated"), null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    # Set if a replaced secret in its grace period authenticated the request.
    authenticated_by_old_secret = False

    class Meta:
        abstract = True
        # To find the key of a leaked secret. PostgreSQL's index for LIKE isn't needed.
        indexes = [models.Index(fields=["secret_digest"]), models.Index(fields=["previous_digest"])]
        constraints = [
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_has_api_key",
                condition=~Q(api_key=""),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_grace_ends",
                condition=Q(previous_digest="", previous_expires_at__isnull=True)
                | (~Q(previous_digest="") & Q(previous_expires_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return str(self.api_key)

    @classmethod
    def cache_label(cls) -> str:
        """Return the name of this model's keys in a cache, shared with its proxies and children."""
        owner: Any = cls._meta.get_field("api_key").model
        return str(owner._meta.concrete_model._meta.label_lower)

    @property
    def policies(self) -> dict[str, Any]:
        """The values of the fields in ``POLICIES``, by name."""
        return {name: getattr(self, name) for name in POLICIES}

    @property
    def is_revoked(self) -> bool:
        return self.revoked_at is not None

    @property
    def is_disabled(self) -> bool:
        return self.disabled_at is not None

    def is_expired(self, now: datetime | None = None) -> bool:
        """Whether the key has expired at ``now``, by default the current time."""
        return policy.has_ended(self.expires_at, now or timezone.now())

    @property
    def state(self) -> KeyState:
        if self.is_revoked or self.is_disabled:
            return KeyState("revoked" if self.is_revoked else "disabled")
        return KeyState("expired" if self.is_expired() else "active")

    @property
    def auth(self) -> AbstractApiKey:
        """The value of ``request.auth``: the key itself."""
        return self

    @property
    def is_scoped(self) -> bool:
        return bool(self.scopes)

    def opens(self, required: Collection[str]) -> bool:
        """Whether the key opens a view that requires all of the scopes ``required``.

        A key without scopes opens every view. A scoped key opens none that declares no scopes.
        """
        return not self.scopes or policy.open_view(self.scopes, required)
