import pytest
from django.contrib.admin import AdminSite, ModelAdmin, site
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from frappe_tokens.admin import ApiAccessMixin, add_api_access


class MixedUserAdmin(ApiAccessMixin, UserAdmin):
    """A project's own, with the mixin."""


class PlainUserAdmin(ModelAdmin):
    """A project's own, without it."""


def test_stock_user_admin_has_api_access():
    assert {ApiAccessMixin, UserAdmin} < set(type(site.get_model_admin(User)).__mro__)


@pytest.mark.parametrize("own_admin", [PlainUserAdmin, MixedUserAdmin])
def test_adds_api_access_to_a_projects_own_model_admin(own_admin):
    own_site = AdminSite(name="own")
    own_site.register(User, own_admin)

    add_api_access(own_site)

    user_admin = own_site.get_model_admin(User)
    assert isinstance(user_admin, ApiAccessMixin)
    assert isinstance(user_admin, own_admin)
    assert (type(user_admin) is own_admin) == (own_admin is MixedUserAdmin)


def test_adds_nothing_to_a_site_without_users():
    own_site = AdminSite(name="own")

    add_api_access(own_site)

    assert not own_site.is_registered(User)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (["greet"], ["greet", "generate_keys"]),
        (["generate_keys"], ["generate_keys"]),
        (None, None),
    ],
)
def test_action_is_added_to_those_of_the_project(actions, expected):
    own_admin = type("OwnAdmin", (MixedUserAdmin,), {"actions": actions})

    assert own_admin(User, site).actions == expected
