"""An admin site with more sources than the example project, each customized differently."""

from django import forms
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.urls import include, path

from frappe_tokens.admin import ApiKeySourceMixin
from tests.sources.models import Drone, Robot, Sensor

site = AdminSite(name="sources")


class SensorForm(forms.ModelForm):
    """A project's form in which the user is optional, like the column."""

    user = forms.ModelChoiceField(User.objects.all(), required=False)


@admin.register(Robot, site=site)
class RobotAdmin(ApiKeySourceMixin, admin.ModelAdmin):
    """All columns of the list can be edited."""

    list_display = ["pk", "user", "serial_number", "read_only"]
    list_editable = ["user", "serial_number", "read_only"]
    fieldsets = [("Robot", {"fields": ["user", "serial_number", "scopes"]})]
    save_as = True


@admin.register(Drone, site=site)
class DroneAdmin(ApiKeySourceMixin, admin.ModelAdmin):
    """The project orders all fields, including the policies, and wants no actions."""

    actions = None
    list_display = ["range", "api_key", "user"]
    fields = [
        "rate_limit",
        "range",
        "user",
        "scopes",
        "allowed_ips",
        "read_only",
        "expires_at",
        "self_rotate",
    ]


@admin.register(Sensor, site=site)
class SensorAdmin(ApiKeySourceMixin, admin.ModelAdmin):
    form = SensorForm
    actions = ["generate_keys"]


site.register(User, UserAdmin)

urlpatterns = [
    path("sources/", site.urls),
    path("", include("testproject.urls")),
]
