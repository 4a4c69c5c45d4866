"""Who may change an OAuth application or a token in the admin, and which user it runs as."""

import pytest
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.core import checks
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.test.utils import isolate_apps
from django.urls import include, path, reverse
from oauth2_provider.admin import AccessTokenAdmin, ApplicationAdmin
from oauth2_provider.models import AccessToken, Application, Grant, IDToken, RefreshToken

from frappe_tokens.contrib import oauth2
from frappe_tokens.contrib.oauth2 import admin as oauth2_admin
from frappe_tokens.contrib.oauth2 import allow_application
from frappe_tokens.contrib.oauth2.admin import (
    ALLOW,
    OAuthApplicationAdminMixin,
    OAuthTokenAdminMixin,
    guard,
)
from frappe_tokens.keys import is_application_allowed
from frappe_tokens.models import OAuthApplicationUser

from ..html import elements
from .conftest import METHODS, SECRET, set_user

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

# A second site, with ModelAdmins of the project's own.
guarded_site = AdminSite(name="guarded")


@admin.register(Application, site=guarded_site)
class ListedApplicationAdmin(OAuthApplicationAdminMixin, ApplicationAdmin):
    """All that matters can be edited in the list; the secret is on the line of another field."""

    list_display = ["pk", "name", "user", "skip_authorization"]
    list_editable = ["name", "user", "skip_authorization"]
    fieldsets = [
        ("Client", {"fields": [("client_id", "client_secret"), "name"]}),
        ("Rest", {"fields": ["user", "client_type", "authorization_grant_type", "redirect_uris"]}),
    ]
    save_as = True


@admin.register(AccessToken, site=guarded_site)
class OpenAccessTokenAdmin(AccessTokenAdmin):
    """Lets tokens be added, which the toolkit's does not."""

    def has_add_permission(self, request):
        return True


guard(guarded_site)

urlpatterns = [path("guarded/", guarded_site.urls), path("", include("testproject.urls"))]

PERMISSIONS = tuple(
    f"oauth2_provider.{verb}_{model}"
    for verb in ("view", "add", "change")
    for model in ("application", "accesstoken")
)
NEW = {
    "client_id": "new",
    "client_secret": SECRET,
    "client_type": "confidential",
    "authorization_grant_type": "client-credentials",
}


@pytest.fixture
def root(make_user):
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def staff(make_user):
    """The browser of staff who may change applications but generate no keys."""
    return signed_in(make_user("staff", PERMISSIONS, is_staff=True))


@pytest.fixture
def manager(make_user):
    """The browser of staff who may generate keys too, but not for superusers."""
    permissions = (*PERMISSIONS, "frappe_tokens.generate_keys")
    return signed_in(make_user("manager", permissions, is_staff=True))


@pytest.fixture(params=["staff", "manager"])
def person(request):
    return request.getfixturevalue(request.param)


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


def page_of(application, site="admin"):
    return reverse(f"{site}:oauth2_provider_application_change", args=(application.pk,))


def list_of(model=Application, site="admin"):
    return reverse(f"{site}:oauth2_provider_{model._meta.model_name}_changelist")


def text_of(client, application):
    return client.get(page_of(application)).content.decode()


def add(client, **changes):
    return client.post(reverse("admin:oauth2_provider_application_add"), {**NEW, **changes})


def change(client, application, site="admin", **changes):
    """Post the page of an application."""
    names = ["client_id", "redirect_uris", "client_type", "authorization_grant_type", "name"]
    fields = {name: getattr(application, name) for name in names}
    fields |= {"client_secret": SECRET, "user": application.user_id or "", **changes}
    return client.post(page_of(application, site), fields)


def change_in_list(client, *rows):
    """Post the editable list: applications with changes, the latest first."""
    form = {"form-TOTAL_FORMS": len(rows), "form-INITIAL_FORMS": len(rows), "_save": "Save"}
    for number, (application, changes) in enumerate(rows):
        fields = {"id": application.pk, "name": application.name, "user": application.user_id or ""}
        if application.skip_authorization:
            fields["skip_authorization"] = "on"
        form |= {f"form-{number}-{name}": value for name, value in {**fields, **changes}.items()}
    return client.post(list_of(site="guarded"), form)


def runs_as(client_id):
    """Return which user requests with client credentials run as, or the error."""
    sent = {"client_id": client_id, "client_secret": SECRET, "scope": "openid"}
    sent["grant_type"] = "client_credentials"
    token = Client().post(METHODS + "get_token", sent).json()
    if "error" in token:
        return token["error"]
    header = {"Authorization": f"Bearer {token['access_token']}"}
    return Client().get(METHODS + "openid_profile", headers=header).json()["name"]


def has_checkbox(response):
    return bool(elements(response.content.decode(), "input", name_=ALLOW))


def test_superuser_is_not_set_by_others(person, root, public):
    answers = [
        change(person, public, user=root.pk, **NEW),
        add(person, user=root.pk),
        change_in_list(person, (public, {"user": root.pk})),
        change(person, public, "guarded", client_id="copy", user=root.pk, _saveasnew="1"),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert "You may not let an application run as this user." in answers[0].content.decode()
    assert Application.objects.get().user is None
    assert not OAuthApplicationUser.objects.exists()

    add(signed_in(root), user=root.pk)
    assert runs_as("new") == "root"


def test_manager_gives_an_application_a_user_they_may_generate_keys_for(manager, user, make_user):
    assert add(manager, user=user.pk).status_code == 302

    record = OAuthApplicationUser.objects.get()
    assert (record.user, record.allowed_by.username) == (user, "manager")
    assert runs_as("new") == "ada"
    messages = LogEntry.objects.values_list("change_message", flat=True)
    assert "Allowed to run as ada." in messages

    application = Application.objects.get()
    change(manager, application, user=make_user("grace").pk)
    assert runs_as("new") == "grace"
    change_in_list(manager, (application, {"user": user.pk}))
    assert runs_as("new") == "ada"


def test_self_service_lets_staff_have_an_application_run_as_themselves(staff, settings, user):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}

    add(staff, user=User.objects.get(username="staff").pk)
    add(staff, client_id="other", user=user.pk)

    assert runs_as("new") == "staff"
    # They generate no keys for others.
    assert not Application.objects.filter(client_id="other").exists()


def test_inactive_and_unknown_users_are_not_set(manager, make_user, public):
    inactive = make_user("grace", is_active=False)

    for pk, message in (
        (inactive.pk, "The user is inactive. Activate the user first."),
        (999999, "That choice is not one of the available choices"),
    ):
        assert message in change(manager, public, user=pk).content.decode()
    assert Application.objects.get().user is None


@pytest.mark.parametrize("attack", ["new user", "new secret", "skip authorization"])
def test_save_model_decides_if_no_form_does(rf, root, make_user, confidential, attack):
    request = rf.post("/")
    request.user = make_user("staff", PERMISSIONS, is_staff=True)
    application = Application(user=root)
    if attack == "new secret":
        set_user(confidential, root)
        application = confidential
        application.client_secret = "chosen by the attacker"
    if attack == "skip authorization":
        application = Application(skip_authorization=True)
    before = list(Application.objects.values())

    model_admin = guarded_site.get_model_admin(Application)
    with pytest.raises(PermissionDenied):
        model_admin.save_model(request, application, None, False)

    assert list(Application.objects.values()) == before


def test_application_of_a_superuser_is_not_changed_by_others(person, root, confidential):
    set_user(confidential, root)
    allow_application(confidential)
    before = Application.objects.values().get()

    for site in ("admin", "guarded"):
        answer = change(person, confidential, site, client_secret="chosen by the attacker")
        assert answer.status_code == 403
    change_in_list(person, (confidential, {"name": "another", "user": ""}))

    assert Application.objects.values().get() == before
    assert runs_as(confidential.client_id) == "root"


def test_application_with_a_user_is_changed_by_those_who_may_generate_keys(
    staff, manager, confidential
):
    assert change(staff, confidential).status_code == 403
    assert change(manager, confidential).status_code == 302

    User.objects.get(username="manager").user_permissions.filter(codename="generate_keys").delete()

    assert change(manager, confidential).status_code == 403


@pytest.mark.parametrize("site", ["admin", "guarded"])
def test_those_who_may_only_view_an_application_do_not_see_its_secret(
    staff, manager, confidential, site
):
    Application.objects.update(client_secret="stored-unhashed", hash_client_secret=False)

    shown = staff.get(page_of(confidential, site)).content.decode()
    assert confidential.client_id in shown
    assert "stored-unhashed" not in shown
    assert "stored-unhashed" in manager.get(page_of(confidential, site)).content.decode()


@pytest.mark.parametrize(
    ("model", "lookup", "status"),
    [
        (Application, "client_secret__startswith", 400),
        (AccessToken, "token__startswith", 400),
        (AccessToken, "application__client_secret__startswith", 400),
        (RefreshToken, "token__startswith", 400),
        (Grant, "code__startswith", 400),
        (Application, "client_type__exact", 200),
    ],
)
def test_no_filter_reveals_a_secret(root, model, lookup, status):
    assert signed_in(root).get(list_of(model), {lookup: "a"}).status_code == status


def test_application_without_a_user_needs_djangos_permission_alone(staff, public, confidential):
    change(staff, public, name="Renamed")
    public.refresh_from_db()
    assert public.name == "Renamed"

    # The first row, which they may not change, is sent as it was.
    answer = change_in_list(staff, (confidential, {}), (public, {"name": "Again"}))

    assert answer.status_code == 302
    public.refresh_from_db()
    assert public.name == "Again"


def test_only_superusers_let_an_application_skip_authorization_and_change_it_then(
    person, public, root
):
    response = change(person, public, skip_authorization="on")
    change_in_list(person, (public, {"skip_authorization": "on"}))
    add(person, skip_authorization="on")
    assert "Only a superuser may let an application skip" in response.content.decode()
    assert not Application.objects.filter(skip_authorization=True).exists()

    assert change(signed_in(root), public, skip_authorization="on").status_code == 302
    public.refresh_from_db()
    assert public.skip_authorization

    assert change(person, public, redirect_uris="https://attacker.example").status_code == 403
    change_in_list(person, (public, {"name": "x", "skip_authorization": ""}))
    public.refresh_from_db()
    assert (public.skip_authorization, public.name) == (True, "To-do app")


def test_page_says_that_it_does_not_run_as_its_user(manager, staff, confidential, user):
    assert "Client credentials tokens run as owner." in text_of(manager, confidential)
    User.objects.filter(pk=user.pk).update(username="<b>bold</b>")
    set_user(confidential, user)

    text = "Client credentials tokens may not run as &lt;b&gt;bold&lt;/b&gt; yet."
    assert text in text_of(manager, confidential)
    assert text in text_of(staff, confidential)
    for site in ("admin", "guarded"):
        assert has_checkbox(manager.get(page_of(confidential, site)))
        assert not has_checkbox(staff.get(page_of(confidential, site)))


def test_page_offers_nothing_without_a_user_who_is_active(manager, confidential, make_user):
    inactive = make_user("grace", is_active=False)
    set_user(confidential, inactive)
    assert not has_checkbox(manager.get(page_of(confidential)))
    assert change(manager, confidential, **{ALLOW: inactive.pk}).status_code == 302
    assert not is_application_allowed(confidential)

    set_user(confidential, None)
    assert not has_checkbox(manager.get(page_of(confidential)))
    assert "No user. Client credentials tokens are refused." in text_of(manager, confidential)
    add_page = manager.get(reverse("admin:oauth2_provider_application_add"))
    assert "client credentials" not in add_page.content.decode()


def test_saving_another_field_allows_nothing(root, confidential):
    """Otherwise an attacker who planted a user waits for a superuser's next change."""
    set_user(confidential, root)

    assert change(signed_in(root), confidential, name="New name").status_code == 302

    assert runs_as(confidential.client_id) == "unauthorized_client"


def test_checkbox_allows_the_user_that_was_shown(root, manager, confidential, make_user, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    user = make_user("ada", pk=1234567)
    set_user(confidential, user)
    assert f'name="{ALLOW}" value="1234567"' in text_of(manager, confidential)

    change(manager, confidential, **{ALLOW: root.pk})
    assert not is_application_allowed(confidential)
    change(manager, confidential, **{ALLOW: user.pk})
    assert is_application_allowed(confidential)

    set_user(confidential, root)
    assert change(manager, confidential, **{ALLOW: root.pk}).status_code == 403
    assert not is_application_allowed(confidential)


def test_only_superusers_change_and_add_tokens(manager, root, issue, user):
    token = issue(user).instance
    page = reverse("admin:oauth2_provider_accesstoken_change", args=(token.pk,))
    sent = {"user": root.pk, "scope": "todos", "expires_0": "2036-01-01", "expires_1": "00:00:00"}
    sent |= {"token_checksum": token.token_checksum, "application": token.application_id}
    sent["resource"] = "[]"

    assert manager.get(page).status_code == 200
    assert manager.post(page, sent).status_code == 403
    assert AccessToken.objects.get().user == user
    assert signed_in(root).post(page, sent).status_code == 302
    assert AccessToken.objects.get().user == root

    # A site whose own ModelAdmin lets tokens be added.
    add_page = reverse("guarded:oauth2_provider_accesstoken_add")
    assert manager.get(add_page).status_code == 403
    assert signed_in(root).get(add_page).status_code == 200


@pytest.mark.parametrize("model", [Application, AccessToken, RefreshToken, Grant, IDToken])
def test_every_model_of_the_default_site_is_guarded(model):
    model_admin = admin.site.get_model_admin(model)

    mixin = OAuthApplicationAdminMixin if model is Application else OAuthTokenAdminMixin
    assert isinstance(model_admin, mixin)
    assert type(model_admin).__name__ == f"{model.__name__}Admin"


def warnings():
    found = checks.run_checks(tags=["frappe_tokens"])
    return [each.msg + str(each.hint) for each in found if each.id == "frappe_tokens.W012"]


@pytest.fixture
def own():
    """A site that other tests do not see."""
    site = AdminSite(name="own")
    yield site
    site._registry.clear()


@isolate_apps("oauth2_provider")
def test_check_names_what_is_not_guarded(own):
    assert warnings() == []
    assert type(guarded_site.get_model_admin(Application)) is ListedApplicationAdmin

    class OwnApplication(Application):
        class Meta:
            proxy = True
            app_label = "oauth2_provider"

    class Applications(admin.TabularInline):
        model = Application

    class UserWithApplications(UserAdmin):
        inlines = [Applications]

    own.register(OwnApplication, ApplicationAdmin)
    own.register(AccessToken, AccessTokenAdmin)
    own.register(User, UserWithApplications)

    on_models, on_tokens, on_inlines = warnings()
    assert '"own" has oauth2_provider.OwnApplication without a guard' in on_models
    assert "OAuthApplicationAdminMixin" in on_models
    assert "OAuthTokenAdminMixin" in on_tokens
    assert '"own" has oauth2_provider.Application without' in on_inlines

    guard(own)
    assert isinstance(own.get_model_admin(OwnApplication), OAuthApplicationAdminMixin)
    assert warnings() == [on_inlines]


def test_no_admin_is_needed(settings, monkeypatch):
    settings.INSTALLED_APPS = [
        app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"
    ]
    guarded = []
    monkeypatch.setattr(oauth2_admin, "guard_all", lambda: guarded.append(None))

    oauth2.register()

    assert not guarded
