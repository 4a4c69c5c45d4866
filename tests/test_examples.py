"""Examples of pages that no other test executes."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.settings import perform_import
from rest_framework.test import APIRequestFactory

from frappe_tokens.conf import conf
from frappe_tokens.models import ApiKey
from frappe_tokens.throttling import ApiKeyRateThrottle

from .conftest import token_header
from .documentation import blocks, page


def run(example):
    """Return the names after an example, which may add to settings."""
    names = {"INSTALLED_APPS": [], "MIDDLEWARE": [], "DATABASES": {}}
    exec(compile(example, "the documentation", "exec"), names)  # noqa: S102 - our own documentation
    return names


def test_authentication_classes_exist():
    first, beside_others, _view = blocks(page("how-to/protect-drf-views"), "python")

    for example in (first, beside_others):
        names = run(example)["REST_FRAMEWORK"]["DEFAULT_AUTHENTICATION_CLASSES"]
        classes = perform_import(names, "DEFAULT_AUTHENTICATION_CLASSES")
        assert [f"{each.__module__}.{each.__qualname__}" for each in classes] == names
        assert names[-1].endswith("SessionAuthentication")
    assert run(first)["MIDDLEWARE"] == ["frappe_tokens.middleware.RequestLogMiddleware"]


@pytest.mark.django_db
def test_view_with_one_class(keys):
    view = run(blocks(page("how-to/protect-drf-views"), "python")[-1])["Stock"].as_view()
    request = APIRequestFactory().get("/", headers={"authorization": token_header(keys)})

    assert view(request).data == {"asked_by": "ada"}


@pytest.mark.django_db
def test_limited_key(user):
    limits, _rates = blocks(page("how-to/limit-a-key"), "python")
    run(limits)

    key = ApiKey.objects.get(name="deploy")
    assert (key.user, key.scopes, key.read_only) == (user, ["todos:read"], True)
    assert (key.allowed_ips, key.rate_limit) == (["192.0.2.0/24"], "100/minute")
    assert key.expires_at > timezone.now() + timedelta(days=89)


def test_rate_of_keys(settings):
    _limits, rates = blocks(page("how-to/limit-a-key"), "python")
    shown = run(rates)["REST_FRAMEWORK"]
    settings.REST_FRAMEWORK = shown

    assert perform_import(shown["DEFAULT_THROTTLE_CLASSES"], "") == [ApiKeyRateThrottle]
    assert ApiKeyRateThrottle.scope in shown["DEFAULT_THROTTLE_RATES"]


@pytest.mark.django_db
def test_key_made_and_revoked_in_python(user):
    (example,) = blocks(page("reference/python"), "python")
    run(example)

    key = ApiKey.objects.get()
    assert (key.name, key.scopes) == ("deploy", ["todos"])
    assert key.revoked_reason == "the laptop was stolen"


@pytest.mark.parametrize(
    "name", ["reference/settings", "understand/cache", "how-to/declare-scopes"]
)
def test_settings_are_valid(settings, name):
    for example in blocks(page(name), "python"):
        if "FRAPPE_TOKENS = " in example:
            settings.FRAPPE_TOKENS = run(example)["FRAPPE_TOKENS"]
            for setting in settings.FRAPPE_TOKENS:
                assert getattr(conf, setting) == settings.FRAPPE_TOKENS[setting]


def test_prepared_statements_are_switched_on_by_a_number():
    (example,) = blocks(page("understand/speed"), "python")

    options = run(example)["DATABASES"]["default"]["OPTIONS"]
    assert isinstance(options["prepare_threshold"], int)
