"""The app's configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FrappeTokensConfig(AppConfig):
    name = "frappe_tokens"
    verbose_name = _("API access")
    default_auto_field = "django.db.models.BigAutoField"
