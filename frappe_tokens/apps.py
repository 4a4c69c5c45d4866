"""The app's configuration."""

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class FrappeTokensConfig(AppConfig):
    name = "frappe_tokens"
    verbose_name = _("API access")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks
        from .keys import connect_deletion, connect_replays
        from .lookup import connect_invalidation

        checks.register()
        connect_deletion()
        connect_invalidation()
        connect_replays()
        if apps.is_installed("django.contrib.admin"):
            from django.contrib import admin

            from .admin import add_api_access

            # Again, because another app may have registered a ModelAdmin of users since.
            add_api_access(admin.site)
        if apps.is_installed("oauth2_provider"):
            from .contrib import oauth2

            oauth2.register()
        if apps.is_installed("drf_spectacular"):
            from .contrib import spectacular

            spectacular.register()
