"""The app's own models."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .base_models import AbstractApiKey
from .fields import ExactCharField
from .validation import NAME_MAX_LENGTH


class ApiKey(AbstractApiKey):
    """A user's API key. A user may have several, told apart by ``name``.

    The unnamed one is the one that Frappe's calls act on. A revoked key's row stays.
    """

    name = ExactCharField(
        _("name"),
        max_length=NAME_MAX_LENGTH,
        blank=True,
        default="",
        help_text=_(
            "What the key is for. The key without a name is the one that Frappe calls use."
        ),
    )
    # True, and NULL once revoked: NULLs are distinct in a unique constraint, on every database.
    # (MySQL and MariaDB have no partial indexes that "one live key a name" could be said with.)
    live = models.BooleanField(null=True, default=True, editable=False)

    class Meta(AbstractApiKey.Meta):
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at", "-pk"]
        permissions = [("generate_keys", "Can generate API keys")]
        constraints = [
            *AbstractApiKey.Meta.constraints,
            models.UniqueConstraint(
                fields=["user", "name", "live"],
                name="frappe_tokens_apikey_one_live_key_a_name",
                violation_error_message=_(
                    "This user has an API key of this name already. Rotate that one, or choose "
                    "another name."
                ),
            ),
            models.CheckConstraint(
                name="frappe_tokens_apikey_live_until_revoked",
                # "IS NOT NULL" is said as well: a CHECK that comes to NULL counts as kept.
                condition=Q(live__isnull=False, live=True, revoked_at__isnull=True)
                | Q(live__isnull=True, revoked_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.api_key})" if self.name else self.api_key
