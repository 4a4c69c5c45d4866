"""Pages for people in browsers accept no API key and no access token."""

import pytest
from django.contrib.auth.models import Group
from oauth2_provider.models import Application

from frappe_tokens import crypto
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import GeneratedKeys, generate_keys
from frappe_tokens.models import ApiKey, ApiRequestLog

from ..conftest import token_header
from ..oauth.conftest import METHODS
from ..oauth.conftest import issue as issue
from ..oauth.conftest import public as public

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("pages")]

PAGES = [
    *("/admin/", "/admin", "/admin/auth/user/", "/admin/login/", "/admin/jsi18n/"),
    *("/admin/nowhere/", "/office/desk/", "/office/desk/report/", "/office/desk/auth/group/"),
    *("/groups/add/", "/bare/password_change/", "/account/api-keys/", "/account/api-keys/new/"),
    *(f"{METHODS}authorize?client_id=x", "/o/authorize/?client_id=x", "/consent/?client_id=x"),
    *("/o/applications/register/", "/o/authorized_tokens/", "/o/device/"),
    "/o/device-confirm/x/ABCD",
]


@pytest.fixture
def pages(site, settings):
    settings.ROOT_URLCONF = "tests.plain.pages_site"
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


@pytest.fixture
def root(make_user):
    return make_user("root", is_staff=True, is_superuser=True)


def assert_refused(answer, reason=Reason.SESSION_REQUIRED):
    assert (answer.status_code, answer.json()) == (
        reason.status,
        {"detail": str(reason.sentence), "code": reason.code},
    )


def test_key_of_staff_makes_no_superuser(visitor, make_user):
    staff = make_user("staff", is_staff=True, permissions=("auth.change_user", "auth.view_user"))
    form = {
        "username": "staff",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }

    sent = "&".join(f"{name}={value}" for name, value in form.items())
    page = f"/admin/auth/user/{staff.pk}/change/"
    answer = visitor.post(page, generate_keys(staff), data=sent)

    assert_refused(answer)
    staff.refresh_from_db()
    assert not staff.is_superuser


def test_page_refuses_every_credential(visitor, root, issue, settings):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable"}
    credentials = [generate_keys(root), issue(root, "read write").header]

    for page in PAGES:
        for credential in credentials:
            for method in ("GET", "POST"):
                assert_refused(visitor.send(method, page, credential))
    assert set(ApiRequestLog.objects.values_list("user", "outcome", "status")) == {
        (root.pk, "session_required", 403)
    }


def test_other_reasons_come_first(visitor, root):
    right = generate_keys(root)
    wrong = GeneratedKeys(right.api_key, crypto.generate_api_secret(), right.instance)

    assert_refused(visitor.get("/admin/", wrong), Reason.INVALID_CREDENTIALS)
    ApiKey.objects.update(allowed_ips=["203.0.113.0/24"])
    assert_refused(visitor.get("/admin/", right), Reason.IP_NOT_ALLOWED)


@pytest.mark.parametrize(
    "page", ["/admin/", "/office/desk/report/", "/groups/", "/o/applications/"]
)
def test_session_opens_the_page(visitor, root, page):
    visitor.client.force_login(root)

    assert visitor.get(page).status_code == 200
    assert visitor.get(page, "Digest abc").status_code == 200


def test_other_views_accept_credentials(visitor, root):
    generated = generate_keys(root)

    assert visitor.post("/o/token/", "Basic eDp5").json()["error"] != "session_required"

    assert visitor.get("/who/", generated).json()["user"] == "root"
    assert visitor.get("/o/.well-known/oauth-authorization-server", generated).status_code == 200


def test_rest_views_of_an_admin_site_are_left_to_their_own_classes(visitor, root):
    """The site lets in only sessions; without it, the view decides."""
    generated = generate_keys(root)

    assert visitor.get("/office/desk/api/", generated).status_code == 302
    assert visitor.get("/office/desk/open-api/", generated).json() == {"user": "root"}


def test_registration_of_clients_is_left_to_the_toolkit(visitor, root, issue, settings):
    """A key that ends could otherwise make a client, and so tokens, that don't."""
    settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, "DCR_ENABLED": True}
    client = b'{"grant_types": ["client_credentials"], "client_name": "mine"}'

    by_key = visitor.post("/o/register/", generate_keys(root), data=client)
    token = issue(root, "oauth2_provider:registration")
    Application.objects.update(registration_source=Application.RegistrationSource.DCR)
    by_token = visitor.get(f"/o/register/{token.instance.application.client_id}/", token.header)

    assert (by_key.status_code, by_key.json()["error"]) == (401, "access_denied")
    assert by_token.status_code == 200
    assert Application.objects.count() == 1


def test_setting_opens_the_pages_to_keys(visitor, root, settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True, "PAGES_ACCEPT_CREDENTIALS": True}
    generated = generate_keys(root)

    assert visitor.get("/admin/", generated).status_code == 200
    assert visitor.post("/admin/auth/group/add/", generated, data="name=new").status_code == 302
    assert Group.objects.filter(name="new").exists()
    assert visitor.get("/account/api-keys/", generated).status_code == 200


def test_setting_opens_no_more_than_scopes_do_and_no_consent(visitor, root, issue, settings):
    settings.FRAPPE_TOKENS = {"PAGES_ACCEPT_CREDENTIALS": True}
    scoped = token_header(generate_keys(root, scopes=["todos"]))
    plain = generate_keys(root, name="plain")
    consent = visitor.get(f"{METHODS}authorize?client_id=x", plain)
    assert consent.status_code == 403

    for header in (scoped, issue(root, "read write todos").header):
        answer = visitor.get("/admin/", header)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
