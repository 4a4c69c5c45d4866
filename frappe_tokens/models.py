"""The app's own models."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .base_models import AbstractApiKey
from .credentials import API_KEY_MAX_LENGTH
from .fields import ExactCharField, UnicodeCharField
from .validators import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH, validate_metadata

# Outcomes of requests, in addition to the codes of refusals.
ACCEPTED = "accepted"
OTHER = "other"

SOURCE_MAX_LENGTH = 140
METHOD_MAX_LENGTH = 16
PATH_MAX_LENGTH = 500
USER_AGENT_MAX_LENGTH = 200
OUTCOME_MAX_LENGTH = 40
KIND_MAX_LENGTH = 20

# The longest text primary key on every database.
APPLICATION_PK_MAX_LENGTH = 255

# What the REST API and the commands show of a key. Never a digest.
SHOWN_FIELDS = [
    "api_key",
    "name",
    "description",
    "metadata",
    "user",
    "scopes",
    "read_only",
    "allowed_ips",
    "rate_limit",
    "expires_at",
    "self_rotate",
    "disabled_at",
    "revoked_at",
    "last_used_at",
    "last_used_ip",
    "created_at",
    "rotated_at",
]


class ApiKey(AbstractApiKey):
    """A user's API key. A user may have several, with different names.

    Frappe's calls act on the one without a name. The row of a revoked key stays.
    """

    name = ExactCharField(
        _("name"),
        max_length=NAME_MAX_LENGTH,
        blank=True,
        default="",
        help_text=_("What the key is for. Frappe's calls use the key without a name."),
    )
    description = models.TextField(
        _("description"),
        blank=True,
        default="",
        max_length=DESCRIPTION_MAX_LENGTH,
        help_text=_("For people: who uses the key, and where."),
    )
    metadata = models.JSONField(
        _("metadata"),
        default=dict,
        blank=True,
        validators=[validate_metadata],
        help_text=_("For programs: a JSON object. It doesn't affect what the key may do."),
    )
    # True, or NULL once revoked, because NULLs are distinct in a unique constraint. (MySQL and
    # MariaDB have no partial indexes.)
    live = models.BooleanField(null=True, default=True, editable=False)

    class Meta(AbstractApiKey.Meta):
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at", "-pk"]
        permissions = [
            ("generate_keys", "Can generate API keys"),
            ("manage_own_keys", "Can manage own API keys"),
        ]
        constraints = [
            *AbstractApiKey.Meta.constraints,
            models.UniqueConstraint(
                fields=["user", "name", "live"],
                name="frappe_tokens_apikey_unique_live_name",
                violation_error_message=_(
                    "This user already has an API key with this name. Rotate it, or choose "
                    "another name."
                ),
            ),
            models.CheckConstraint(
                name="frappe_tokens_apikey_live_until_revoked",
                # With isnull, because a CHECK that evaluates to NULL passes.
                condition=Q(live__isnull=False, live=True, revoked_at__isnull=True)
                | Q(live__isnull=True, revoked_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.api_key})" if self.name else self.api_key


class SentNotice(models.Model):
    """A notice about a key that was sent to its user, so that it isn't sent twice.

    It refers to the key by its source's label and its API key, which never changes.
    """

    source = UnicodeCharField(_("source"), max_length=SOURCE_MAX_LENGTH)
    api_key = ExactCharField(_("API key"), max_length=API_KEY_MAX_LENGTH)
    kind = models.CharField(_("kind"), max_length=KIND_MAX_LENGTH)
    about = models.DateTimeField(
        _("about"), help_text=_("The expiry, or since when the key is unused.")
    )
    sent_at = models.DateTimeField(_("sent"), default=timezone.now)

    class Meta:
        verbose_name = _("sent notice")
        verbose_name_plural = _("sent notices")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["source", "api_key", "kind", "about"], name="frappe_tokens_notice_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.api_key}"


class ApiRequestLog(models.Model):
    """A request with an ``Authorization`` header, or the number of those that were only counted.

    Only the request log writes these rows. They contain no headers, query strings, bodies or
    secrets. They refer to users and keys without a constraint, so that they outlive them, and so
    that one row can't make a batch fail.
    """

    at = models.DateTimeField(_("at"), help_text=_("When the request arrived."))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        verbose_name=_("user"),
        help_text=_("The user that the request ran as, or would have run as if not refused."),
    )
    api_key = ExactCharField(
        _("API key"),
        max_length=API_KEY_MAX_LENGTH,
        help_text=_("As presented, even if there is no such key."),
    )
    source = UnicodeCharField(_("source"), max_length=SOURCE_MAX_LENGTH)
    method = UnicodeCharField(_("method"), max_length=METHOD_MAX_LENGTH)
    path = UnicodeCharField(_("path"), max_length=PATH_MAX_LENGTH)
    status = models.PositiveSmallIntegerField(_("status"))
    duration_ms = models.PositiveIntegerField(
        _("duration in ms"), help_text=_("Until the start of the response.")
    )
    ip = models.GenericIPAddressField(_("address"), null=True)
    user_agent = UnicodeCharField(_("user agent"), max_length=USER_AGENT_MAX_LENGTH)
    outcome = models.CharField(
        _("outcome"),
        max_length=OUTCOME_MAX_LENGTH,
        help_text=_("accepted, the code of a refusal, or other if the header is not for this app."),
    )
    number = models.PositiveIntegerField(
        _("number"),
        default=1,
        help_text=_(
            "How many requests of a minute this row counts. The counted requests of an address "
            "are those beyond REQUEST_LOG_LIMIT."
        ),
    )

    class Meta:
        verbose_name = _("API request")
        verbose_name_plural = _("request log")
        ordering = ["-at", "-pk"]
        default_permissions = ("view",)
        # Each covers counting by day and outcome, which then doesn't read the table.
        indexes = [
            models.Index(fields=["user", "at", "outcome", "number"], name="frappe_tokens_log_user"),
            models.Index(
                fields=["api_key", "at", "outcome", "source", "number"],
                name="frappe_tokens_log_key",
            ),
            models.Index(fields=["outcome", "at", "number"], name="frappe_tokens_log_outcome"),
            models.Index(fields=["at", "outcome", "number"], name="frappe_tokens_log_at"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}" if self.method else f"{self.number} more"


class OAuthApplicationUser(models.Model):
    """An OAuth 2 application that may run as ``user``. Only ``allow_application`` writes these.

    The primary key identifies the application, because its client_id can change and be reused.
    There is no foreign key, because the OAuth 2 server is optional and its model swappable.
    """

    application_pk = ExactCharField(
        _("application"), max_length=APPLICATION_PK_MAX_LENGTH, unique=True
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("user"),
    )
    allowed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("allowed by"),
        help_text=_("Empty if trusted code or a command allowed it."),
    )
    allowed_at = models.DateTimeField(_("allowed at"))

    class Meta:
        verbose_name = _("OAuth application's user")
        verbose_name_plural = _("OAuth applications' users")
        default_permissions = ()

    def __str__(self) -> str:
        return f"application {self.application_pk}"
