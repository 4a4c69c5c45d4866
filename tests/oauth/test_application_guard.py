"""Who may change an OAuth application or a token in the admin, and as whom it then runs."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

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
from django.urls import reverse
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
from frappe_tokens.keys.oauth_applications import is_application_allowed
from frappe_tokens.models import OAuthApplicationUser

from .conftest import METHODS, SECRET
from .guarded_site import ListedApplicationAdmin
from .guarded_site import site as guarded_site

pytestmark = [pytest.mark.urls("tests.oauth.guarded_site"), pytest.mark.django_db]

ROOT = Path(__file__).resolve().parent.parent.parent
APPLICATIONS = tuple(f"oauth2_provider.{verb}_application" for verb in ("view", "add", "change"))
TOKENS = tuple(f"oauth2_provider.{verb}_accesstoken" for verb in ("view", "add", "change"))


@pytest.fixture
def root(make_user):
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def staff(make_user):
    """Staff who may change applications, and make no keys."""
    return signed_in(make_user("staff", (*APPLICATIONS, *TOKENS), is_staff=True))


@pytest.fixture
def manager(make_user):
    """The same who may make keys, but not of superusers."""
    permissions = (*APPLICATIONS, *TOKENS, "frappe_tokens.generate_keys")
    return signed_in(make_user("manager", permissions, is_staff=True))


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


def page_of(application, site="admin"):
    return reverse(f"{site}:oauth2_provider_application_change", args=(application.pk,))


def list_of(model=Application, site="admin"):
    return reverse(f"{site}:oauth2_provider_{model._meta.model_name}_changelist")


def add_page(site="admin"):
    return reverse(f"{site}:oauth2_provider_application_add")


def fields_of(application, **changed):
    """What the page of an application posts."""
    names = ["client_id", "redirect_uris", "client_type", "authorization_grant_type", "name"]
    fields = {name: getattr(application, name) for name in names}
    fields["client_secret"] = SECRET
    fields["user"] = application.user_id or ""
    return {**fields, **changed}


NEW = {
    "client_id": "new",
    "client_secret": SECRET,
    "client_type": "confidential",
    "authorization_grant_type": "client-credentials",
}


def row_of(application, **changed):
    """What a list of one application posts."""
    management = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "_save": "Save"}
    fields = {"id": application.pk, "name": application.name, "user": application.user_id or ""}
    if application.skip_authorization:
        fields["skip_authorization"] = "on"
    return {
        **management,
        **{f"form-0-{name}": value for name, value in {**fields, **changed}.items()},
    }


def runs_as(client_id):
    """As whom requests run by client credentials; the refusal where they do not."""
    sent = {"client_id": client_id, "client_secret": SECRET, "scope": "openid"}
    sent["grant_type"] = "client_credentials"
    token = Client().post(METHODS + "get_token", sent).json()
    if "error" in token:
        return str(token["error"])
    header = {"Authorization": f"Bearer {token['access_token']}"}
    return str(Client().get(METHODS + "openid_profile", headers=header).json()["name"])


def set_user(application, user):
    """Past the guard."""
    Application.objects.filter(pk=application.pk).update(user=user)
    application.refresh_from_db()


class Fields(HTMLParser):
    """The names of what a page's forms post."""

    def __init__(self, response):
        super().__init__()
        self.names = set()
        self.feed(response.content.decode())

    def handle_starttag(self, tag, attrs):
        if tag in ("input", "select", "textarea"):
            self.names.add(dict(attrs).get("name") or "")


# The user


@pytest.mark.parametrize("client", ["staff", "manager"])
def test_superuser_is_not_set_by_others_on_the_page(request, client, root, public):
    person = request.getfixturevalue(client)

    response = person.post(page_of(public), fields_of(public, user=root.pk, **NEW))

    assert "You may not let an application run as this user." in response.content.decode()
    public.refresh_from_db()
    assert public.user is None
    assert not OAuthApplicationUser.objects.exists()


@pytest.mark.parametrize("client", ["staff", "manager"])
def test_superuser_is_not_set_by_others_when_they_add_an_application(request, client, root):
    person = request.getfixturevalue(client)

    response = person.post(add_page(), {**NEW, "user": root.pk})

    assert response.status_code == 200
    assert not Application.objects.exists()


@pytest.mark.parametrize("client", ["staff", "manager"])
def test_superuser_is_not_set_by_others_in_a_list(request, client, root, public):
    person = request.getfixturevalue(client)

    response = person.post(list_of(site="guarded"), row_of(public, user=root.pk))

    assert response.status_code == 200
    public.refresh_from_db()
    assert public.user is None


def test_copy_of_an_application_gets_no_other_user(manager, root, confidential):
    sent = fields_of(confidential, client_id="copy", user=root.pk, _saveasnew="1")

    assert manager.post(page_of(confidential, "guarded"), sent).status_code == 200
    assert not Application.objects.filter(client_id="copy").exists()


def test_staff_who_may_make_no_keys_set_no_user_at_all(staff, user):
    staff.post(add_page(), {**NEW, "user": user.pk})

    assert not Application.objects.exists()


def test_application_runs_as_whom_its_maker_may_make_keys_for(manager, user):
    assert manager.post(add_page(), {**NEW, "user": user.pk}).status_code == 302

    record = OAuthApplicationUser.objects.get()
    assert (record.user, record.allowed_by.username) == (user, "manager")
    assert runs_as("new") == "ada"
    notes = LogEntry.objects.values_list("change_message", flat=True)
    assert "Allowed to run as ada." in notes


def test_manager_gives_an_application_another_user_they_may_make_keys_for(
    manager, user, confidential
):
    manager.post(page_of(confidential), fields_of(confidential, user=user.pk))
    assert runs_as(confidential.client_id) == "ada"

    owner = User.objects.get(username="owner")
    manager.post(list_of(site="guarded"), row_of(confidential, user=owner.pk))
    assert runs_as(confidential.client_id) == "owner"


def test_those_who_may_make_their_own_keys_let_an_application_run_as_themselves(
    staff, settings, user
):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    own = User.objects.get(username="staff")

    staff.post(add_page(), {**NEW, "user": own.pk})
    staff.post(add_page(), {**NEW, "client_id": "other", "user": user.pk})

    assert runs_as("new") == "staff"
    assert not Application.objects.filter(client_id="other").exists()


def test_superuser_lets_an_application_run_as_a_superuser(root):
    signed_in(root).post(add_page(), {**NEW, "user": root.pk})

    assert runs_as("new") == "root"


def test_inactive_user_is_not_set(manager, make_user, public):
    inactive = make_user("grace", is_active=False)

    response = manager.post(page_of(public), fields_of(public, user=inactive.pk))

    assert "The user is inactive. Activate the user first." in response.content.decode()
    public.refresh_from_db()
    assert public.user is None


def test_invalid_user_is_the_forms_own_error(manager, public):
    response = manager.post(page_of(public), fields_of(public, user="999999"))

    assert "That choice is not one of the available choices" in response.content.decode()


@pytest.mark.parametrize("attack", ["new user", "new secret", "skip authorization"])
def test_save_model_decides_where_a_form_does_not(rf, root, make_user, confidential, attack):
    request = rf.post("/")
    request.user = make_user("staff", APPLICATIONS, is_staff=True)
    application = Application(user=root)
    if attack == "new secret":
        set_user(confidential, root)
        application = confidential
        application.client_secret = "chosen by the attacker"
    if attack == "skip authorization":
        application = Application(skip_authorization=True)
    before = list(Application.objects.values())

    with pytest.raises(PermissionDenied):
        ApplicationAdminOfAProject(Application, admin.site).save_model(
            request, application, None, False
        )

    assert list(Application.objects.values()) == before


class ApplicationAdminOfAProject(OAuthApplicationAdminMixin, ApplicationAdmin):
    pass


# Applications that have a user


@pytest.mark.parametrize("client", ["staff", "manager"])
def test_application_of_a_superuser_is_not_changed_by_others(request, client, root, confidential):
    set_user(confidential, root)
    allow_application(confidential)
    stored = confidential.client_secret
    person = request.getfixturevalue(client)

    for site in ("admin", "guarded"):
        sent = fields_of(confidential, client_secret="chosen by the attacker")
        assert person.post(page_of(confidential, site), sent).status_code == 403
    person.post(list_of(site="guarded"), row_of(confidential, name="another", user=""))

    confidential.refresh_from_db()
    assert (confidential.client_secret, confidential.user) == (stored, root)
    assert confidential.name == "Report service"
    assert runs_as(confidential.client_id) == "root"


def test_staff_who_may_make_no_keys_change_no_application_that_has_a_user(staff, confidential):
    response = staff.post(page_of(confidential), fields_of(confidential, name="another"))

    assert response.status_code == 403


@pytest.mark.parametrize("site", ["admin", "guarded"])
def test_those_who_only_look_do_not_see_the_secret(staff, manager, confidential, site):
    Application.objects.update(client_secret="stored-unhashed", hash_client_secret=False)

    seen = staff.get(page_of(confidential, site)).content.decode()
    assert confidential.client_id in seen
    assert "stored-unhashed" not in seen
    assert "stored-unhashed" in manager.get(page_of(confidential, site)).content.decode()


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (Application, "client_secret__startswith"),
        (AccessToken, "token__startswith"),
        (AccessToken, "application__client_secret__startswith"),
        (RefreshToken, "token__startswith"),
        (Grant, "code__startswith"),
    ],
)
def test_no_filter_reveals_a_secret(root, confidential, model, lookup):
    response = signed_in(root).get(list_of(model), {lookup: "a"})

    assert response.status_code == 400


def test_other_filters_work(staff, confidential):
    assert staff.get(list_of(), {"client_type__exact": "confidential"}).status_code == 200


def test_application_without_a_user_is_for_those_with_the_permission(staff, public):
    staff.post(page_of(public), fields_of(public, name="Renamed"))
    staff.post(list_of(site="guarded"), row_of(public, name="Again"))

    public.refresh_from_db()
    assert public.name == "Again"


def test_row_that_was_not_touched_is_no_error(staff, public, confidential):
    first, second = row_of(confidential), row_of(public, name="Renamed")
    sent = {name.replace("-0-", "-1-"): value for name, value in second.items()}
    sent |= {**first, "form-TOTAL_FORMS": 2, "form-INITIAL_FORMS": 2}

    # The list has the newest first.
    sent["form-0-id"], sent["form-1-id"] = confidential.pk, public.pk
    assert staff.post(list_of(site="guarded"), sent).status_code == 302

    public.refresh_from_db()
    assert public.name == "Renamed"


def test_permission_that_was_taken_away_no_longer_counts(manager, confidential):
    assert manager.post(page_of(confidential), fields_of(confidential)).status_code == 302

    User.objects.get(username="manager").user_permissions.filter(codename="generate_keys").delete()

    assert manager.post(page_of(confidential), fields_of(confidential)).status_code == 403


# Applications that skip the authorization


@pytest.mark.parametrize("client", ["staff", "manager"])
def test_only_superusers_let_an_application_skip_the_authorization(request, client, public, root):
    person = request.getfixturevalue(client)
    sent = fields_of(public, skip_authorization="on")

    response = person.post(page_of(public), sent)
    person.post(list_of(site="guarded"), row_of(public, skip_authorization="on"))
    person.post(add_page(), {**NEW, "skip_authorization": "on"})

    assert "Only a superuser may let an application skip" in response.content.decode()
    assert not Application.objects.filter(skip_authorization=True).exists()
    assert signed_in(root).post(page_of(public), sent).status_code == 302
    assert Application.objects.filter(skip_authorization=True).exists()


@pytest.mark.parametrize("client", ["staff", "manager"])
def test_only_superusers_change_an_application_that_skips_the_authorization(
    request, client, public
):
    Application.objects.update(skip_authorization=True)
    public.refresh_from_db()
    person = request.getfixturevalue(client)
    sent = fields_of(public, redirect_uris="https://attacker.example")

    assert person.post(page_of(public), sent).status_code == 403
    person.post(list_of(site="guarded"), row_of(public, name="x", skip_authorization=""))

    public.refresh_from_db()
    assert (public.skip_authorization, public.name) == (True, "To-do app")


# An application whose user was set past the guard


def test_page_says_that_it_does_not_run_as_its_user(manager, staff, confidential, user):
    assert "Client credentials tokens run as owner." in shown(manager, confidential)
    set_user(confidential, user)
    text = "Client credentials tokens may not run as ada yet."

    assert text in shown(manager, confidential)
    assert ALLOW in Fields(manager.get(page_of(confidential))).names
    assert ALLOW in Fields(manager.get(page_of(confidential, "guarded"))).names
    assert text in shown(staff, confidential)
    assert ALLOW not in Fields(staff.get(page_of(confidential))).names


def shown(client, application):
    return client.get(page_of(application)).content.decode()


def test_page_offers_nothing_without_a_user_who_is_active(manager, confidential, make_user):
    set_user(confidential, make_user("grace", is_active=False))
    assert ALLOW not in Fields(manager.get(page_of(confidential))).names

    set_user(confidential, None)
    assert ALLOW not in Fields(manager.get(page_of(confidential))).names
    assert "No user. Client credentials tokens are refused." in shown(manager, confidential)
    assert "client credentials" not in manager.get(add_page()).content.decode()


def test_name_of_a_user_is_escaped(root, confidential, user):
    User.objects.filter(pk=user.pk).update(username="<b>bold</b>")
    set_user(confidential, user)

    assert "run as &lt;b&gt;bold" in shown(signed_in(root), confidential)


def test_saving_another_field_allows_nothing(root, confidential):
    """Otherwise an attacker who planted a user waits for a superuser's next change."""
    set_user(confidential, root)

    response = signed_in(root).post(page_of(confidential), fields_of(confidential, name="New name"))

    assert response.status_code == 302
    assert runs_as(confidential.client_id) == "unauthorized_client"


def test_checkbox_allows_the_user_that_was_shown(root, manager, confidential, user):
    set_user(confidential, user)
    allowed = fields_of(confidential, **{ALLOW: user.pk})

    manager.post(page_of(confidential), {**allowed, ALLOW: root.pk})
    assert not is_application_allowed(confidential)
    manager.post(page_of(confidential), allowed)
    assert is_application_allowed(confidential)


def test_checkbox_works_where_numbers_are_written_with_separators(
    manager, confidential, make_user, settings
):
    settings.USE_THOUSAND_SEPARATOR = True
    set_user(confidential, make_user("grace", pk=1234567))

    assert f'name="{ALLOW}" value="1234567"' in shown(manager, confidential)


def test_checkbox_allows_nobody_who_is_inactive(manager, confidential, make_user):
    inactive = make_user("grace", is_active=False)
    set_user(confidential, inactive)

    sent = fields_of(confidential, **{ALLOW: inactive.pk})

    assert manager.post(page_of(confidential), sent).status_code == 302
    assert not is_application_allowed(confidential)


def test_checkbox_of_a_superuser_is_not_for_others(root, manager, confidential):
    set_user(confidential, root)

    sent = fields_of(confidential, **{ALLOW: root.pk})

    assert manager.post(page_of(confidential), sent).status_code == 403
    assert not is_application_allowed(confidential)


def test_user_that_is_taken_away_and_planted_again_is_not_allowed(manager, confidential):
    owner = confidential.user
    assert manager.post(page_of(confidential), fields_of(confidential, user="")).status_code == 302

    set_user(confidential, owner)

    assert runs_as(confidential.client_id) == "unauthorized_client"


# Tokens and grants


def test_only_superusers_change_tokens(manager, root, issue, user):
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


def test_only_superusers_add_tokens_where_a_project_lets_them_be_added(manager, root):
    page = reverse("guarded:oauth2_provider_accesstoken_add")

    assert manager.get(page).status_code == 403
    assert signed_in(root).get(page).status_code == 200


@pytest.mark.parametrize("model", [AccessToken, RefreshToken, Grant, IDToken])
def test_every_model_that_names_a_user_is_guarded(model):
    model_admin = admin.site.get_model_admin(model)

    assert isinstance(model_admin, OAuthTokenAdminMixin)
    assert type(model_admin).__name__ == f"{model.__name__}Admin"


# Sites


def test_application_admin_of_the_default_site_is_guarded():
    model_admin = admin.site.get_model_admin(Application)

    assert isinstance(model_admin, OAuthApplicationAdminMixin)
    assert isinstance(model_admin, ApplicationAdmin)


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


def test_guard_leaves_a_model_admin_that_has_the_mixin_alone():
    assert type(guarded_site.get_model_admin(Application)) is ListedApplicationAdmin


ORDERS = """
from django.conf import settings
apps = {apps!r}
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
        "django.contrib.messages", "rest_framework", *apps,
    ],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    SECRET_KEY="made up",
)
import django
django.setup()
from django.contrib.admin import site
from oauth2_provider.models import Application
from frappe_tokens.contrib.oauth2.admin import OAuthApplicationAdminMixin
assert isinstance(site.get_model_admin(Application), OAuthApplicationAdminMixin)
"""


@pytest.mark.parametrize(
    "order",
    [
        ["frappe_tokens", "oauth2_provider", "django.contrib.admin"],
        ["django.contrib.admin", "frappe_tokens", "oauth2_provider"],
    ],
)
def test_guards_whichever_order_the_apps_are_in(order):
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", ORDERS.format(apps=order)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
