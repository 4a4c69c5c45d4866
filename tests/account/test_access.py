"""Who may see the pages, and what everyone else gets."""

import pytest
from django.test import Client
from django.urls import reverse

from frappe_tokens.account import views
from frappe_tokens.models import ApiKey

from .conftest import LIST, NEW, make_key, page_of, secrets_on, text_of, version_on

FORM = {"version": "by hand", "grace": "0", "name": "taken over", "reason": "by hand"}


def all_pages(key):
    return [LIST, NEW, *(page_of(key, what) for what in ("rotate", "edit", "revoke"))]


@pytest.fixture
def _unchanged_keys(keys):
    before = list(ApiKey.objects.values())
    yield
    assert list(ApiKey.objects.values()) == before


unchanged_keys = pytest.mark.usefixtures("_unchanged_keys")


def assert_all_refused(browser, keys, status, sentence):
    for page in all_pages(keys.instance):
        for answer in (browser.get(page), browser.post(page, FORM)):
            assert answer.status_code == status
            assert sentence in text_of(answer)
            assert not secrets_on(answer)
            assert keys.api_key not in text_of(answer)


@unchanged_keys
def test_anonymous_visitors_are_sent_to_the_login_page(client, keys):
    for page in all_pages(keys.instance):
        for answer in (client.get(page), client.post(page, FORM)):
            assert answer.status_code == 302
            assert answer["Location"] == f"{reverse('login')}?next={page}"
    assert f'name="next" value="{NEW}"' in text_of(client.get(reverse("login"), {"next": NEW}))


@unchanged_keys
def test_pages_are_closed_without_self_service_and_to_inactive_users(ada, user, keys, settings):
    settings.FRAPPE_TOKENS = {}
    assert_all_refused(ada, keys, 403, "t manage their own API keys")

    # Django's stock backend ends the session of an inactive user. Another backend may not.
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    type(user).objects.update(is_active=False)
    assert ada.get(LIST).status_code == 302
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    ada.force_login(user)
    assert_all_refused(ada, keys, 403, "Your account is inactive.")


def test_pages_are_open_to_superusers_and_managers_without_self_service(
    client, system_manager, make_user, settings
):
    client.force_login(make_user("toor", is_superuser=True))
    assert secrets_on(make_key(client))

    settings.FRAPPE_TOKENS = {}
    for user in (system_manager, make_user("root", is_superuser=True)):
        client.force_login(user)
        assert secrets_on(make_key(client))


@unchanged_keys
def test_superuser_finds_only_their_own_keys(client, keys, make_user):
    client.force_login(make_user("grace", is_superuser=True))

    for pk in (keys.instance.pk, "0", "9" * 40, "-1", "x"):
        page = f"{LIST}{pk}/rotate/"
        for answer in (client.get(page), client.post(page, FORM)):
            assert answer.status_code == 404
            assert keys.api_key not in text_of(answer)


@unchanged_keys
def test_forms_of_other_sites_are_refused(user, keys, settings):
    """This doesn't depend on Django's CsrfViewMiddleware."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "csrf" not in name]
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)

    for page in all_pages(keys.instance)[1:]:
        assert browser.post(page, FORM).status_code == 403


@unchanged_keys
def test_get_changes_nothing_and_other_methods_are_refused(ada, keys):
    assert ada.post(LIST).status_code == 405
    for page in all_pages(keys.instance):
        for answer in (ada.get(page, FORM), ada.head(page, FORM)):
            assert answer.status_code == 200
            assert "no-store" in answer["Cache-Control"]
        for send in (ada.put, ada.patch, ada.delete, ada.options):
            assert send(page).status_code == 405


def respond(view, request, user, auth=None, **kwargs):
    """Call a view without the middleware, which would read the user again."""
    request.user, request.auth = user, auth
    request._dont_enforce_csrf_checks = True
    return view(request, **kwargs).render()


@unchanged_keys
@pytest.mark.parametrize("limits", [{"read_only": True}, {"scopes": ["todos"]}])
def test_request_with_a_restricted_key_is_refused(user, keys, rf, limits):
    """A project's middleware may set the user of a request from its token."""
    restricted = ApiKey(user=user, **limits)

    for request in (rf.get(LIST), rf.post(NEW, FORM)):
        answer = respond(views.new_key, request, user, restricted)
        assert answer.status_code == 403
        assert "the current secret of another API key" in text_of(answer)


@pytest.mark.parametrize("end", ["deactivate", "delete", "rotate"])
def test_user_who_was_deactivated_or_deleted_meanwhile_gets_no_secret(user, keys, rf, end):
    view, kwargs = views.new_key, {}
    if end == "rotate":
        view, kwargs = views.rotate_key, {"pk": keys.instance.pk}
    version = version_on(respond(view, rf.get("/"), user, **kwargs))
    users = type(user).objects.all()
    users.delete() if end == "delete" else users.update(is_active=False)
    before = list(ApiKey.objects.values())

    request = rf.post("/", {"version": version, "grace": "0", "name": "ci"})
    answer = respond(view, request, user, **kwargs)

    assert 'role="alert"' in text_of(answer)
    assert not secrets_on(answer)
    assert list(ApiKey.objects.values()) == before
