from django.apps import apps
from django.contrib.admin import AdminSite, ModelAdmin, site
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from frappe_tokens.admin import ApiAccessMixin, add_api_access


def test_stock_user_admin_has_api_access():
    user_admin = site.get_model_admin(User)

    assert isinstance(user_admin, ApiAccessMixin)
    assert isinstance(user_admin, UserAdmin)


def test_adds_api_access_to_a_projects_own_model_admin():
    class PlainUserAdmin(ModelAdmin):
        pass

    own = AdminSite(name="own")
    own.register(User, PlainUserAdmin)

    add_api_access(own)

    user_admin = own.get_model_admin(User)
    assert isinstance(user_admin, ApiAccessMixin)
    assert isinstance(user_admin, PlainUserAdmin)


def test_leaves_a_model_admin_that_uses_the_mixin_alone():
    class MixedUserAdmin(ApiAccessMixin, UserAdmin):
        pass

    own = AdminSite(name="own")
    own.register(User, MixedUserAdmin)

    add_api_access(own)

    assert type(own.get_model_admin(User)) is MixedUserAdmin


def test_registers_no_users_where_there_are_none():
    own = AdminSite(name="own")

    add_api_access(own)

    assert not own.is_registered(User)


def test_needs_no_admin(settings):
    settings.INSTALLED_APPS = [
        app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"
    ]

    assert apps.is_installed("frappe_tokens")
    assert not apps.is_installed("django.contrib.admin")


def test_offers_the_action_beside_those_of_the_project():
    class OwnActions(ApiAccessMixin, UserAdmin):
        actions = ["greet"]

    class NoActions(ApiAccessMixin, UserAdmin):
        actions = None

    class Listed(ApiAccessMixin, UserAdmin):
        actions = ["generate_keys"]

    assert OwnActions(User, site).actions == ["greet", "generate_keys"]
    assert NoActions(User, site).actions is None
    assert Listed(User, site).actions == ["generate_keys"]
