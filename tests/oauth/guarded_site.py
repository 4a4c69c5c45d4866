"""A second admin site, with ModelAdmins of the project's own for the toolkit's models."""

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.urls import include, path
from oauth2_provider.admin import AccessTokenAdmin, ApplicationAdmin
from oauth2_provider.models import AccessToken, Application

from frappe_tokens.contrib.oauth2.admin import OAuthApplicationAdminMixin, guard

site = AdminSite(name="guarded")


@admin.register(Application, site=site)
class ListedApplicationAdmin(OAuthApplicationAdminMixin, ApplicationAdmin):
    """All that matters can be edited in the list; the secret stands beside another field."""

    list_display = ["pk", "name", "user", "skip_authorization"]
    list_editable = ["name", "user", "skip_authorization"]
    fieldsets = [
        ("Client", {"fields": [("client_id", "client_secret"), "name"]}),
        ("Rest", {"fields": ["user", "client_type", "authorization_grant_type", "redirect_uris"]}),
    ]
    save_as = True


@admin.register(AccessToken, site=site)
class OpenAccessTokenAdmin(AccessTokenAdmin):
    """Lets tokens be added, which the toolkit's does not."""

    def has_add_permission(self, request):
        return True


guard(site)

urlpatterns = [
    path("guarded/", site.urls),
    path("", include("testproject.urls")),
]
