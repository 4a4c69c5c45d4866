"""The admin: API Access on the users' pages, the API keys themselves and the request log."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.utils.module_loading import module_has_submodule

from ..models import ApiKey, ApiRequestLog
from .api_access import ApiAccessMixin
from .apikeys import ApiKeyAdmin
from .request_log.model_admin import ApiRequestLogAdmin
from .sources import ApiKeySourceMixin

__all__ = [
    "ApiAccessMixin",
    "ApiKeyAdmin",
    "ApiKeySourceMixin",
    "ApiRequestLogAdmin",
    "add_api_access",
]


def add_api_access(site: AdminSite) -> None:
    """Add API Access to the ModelAdmin that ``site`` has for the user model.

    Does nothing if there is none, or if it already is an ApiAccessMixin.
    """
    users = get_user_model()
    if not site.is_registered(users):
        return
    registered = type(site.get_model_admin(users))
    if issubclass(registered, ApiAccessMixin):
        return
    site.unregister(users)
    site.register(users, type(registered.__name__, (ApiAccessMixin, registered), {}))


# The admin module of the users' app may be loaded after this one.
_users_app = apps.get_app_config(get_user_model()._meta.app_label)
if module_has_submodule(_users_app.module, "admin"):
    import_module(f"{_users_app.name}.admin")

admin.site.register(ApiKey, ApiKeyAdmin)
admin.site.register(ApiRequestLog, ApiRequestLogAdmin)
add_api_access(admin.site)
