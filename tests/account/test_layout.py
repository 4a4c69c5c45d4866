"""The header of the pages, signing out, and the project's own layout."""

from unittest.mock import Mock

import pytest
from django.contrib.auth.views import LoginView
from django.core.exceptions import ObjectDoesNotExist
from django.test import Client
from django.urls import path, reverse

from tests.documentation import blocks, page
from tests.html import attribute, elements, text

from .conftest import LIST, NEW, text_of

TAGS = "frappe_tokens.templatetags.frappe_tokens"
SIGN_OUT = f"{LIST}sign-out/"

# The templates in the documentation: one that changes our header, and one that replaces our layout.
_ADMIN, EXTENDING, REPLACING = blocks(page("how-to/theme-the-pages"), "django")
BASE = "frappe_tokens/account/base.html"
THEIR_LAYOUT = (
    "<title>{% block head_title %}{% endblock %} - Acme</title>"
    "{% block head %}<link href='acme.css'>{% endblock %}"
    "<nav>Acme</nav>{% block main %}{% endblock %}"
)

# A project that uses our layout, but not our pages.
urlpatterns = [path("login/", LoginView.as_view())]


@pytest.fixture
def use_templates(settings, tmp_path):
    """Write templates into a directory of the project."""

    def use(templates):
        for name, content in templates.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        (engine,) = settings.TEMPLATES
        settings.TEMPLATES = [{**engine, "DIRS": [tmp_path, *engine["DIRS"]]}]

    return use


def header_of(response):
    (header,) = elements(text_of(response), class_="frappe-tokens-header")
    return header


def test_header_shows_the_host_if_it_has_no_site(ada, monkeypatch):
    monkeypatch.setattr(f"{TAGS}.get_current_site", Mock(side_effect=ObjectDoesNotExist))

    assert text(header_of(ada.get(LIST))).startswith("testserver Home")


@pytest.mark.parametrize("address", [LIST, NEW])
def test_header_links_home_and_signs_out(ada, address):
    header = header_of(ada.get(address, headers={"host": "localhost:8000"}))

    assert text(header) == "localhost:8000 Home Signed in as ada Sign out"
    assert [attribute(link, "href") for link in elements(header, "a")] == ["/"]
    (form,) = elements(header, "form")
    assert (attribute(form, "method"), attribute(form, "action")) == ("post", SIGN_OUT)
    assert elements(form, "input", name_="csrfmiddlewaretoken")


def test_header_without_a_signed_in_user_names_no_one(client):
    header = header_of(client.get(reverse("login"), headers={"host": "localhost"}))

    assert text(header) == "localhost Home"


@pytest.mark.urls(__name__)
def test_header_without_our_pages_has_no_button_to_sign_out(ada):
    header = header_of(ada.get("/login/", headers={"host": "localhost"}))

    assert text(header) == "localhost Home Signed in as ada"


def test_signing_out_ends_the_session(ada, settings):
    settings.LOGIN_URL, settings.LOGOUT_REDIRECT_URL = "login", None

    answer = ada.post(SIGN_OUT)

    assert (answer.status_code, answer["Location"]) == (302, reverse("login"))
    assert "no-store" in answer["Cache-Control"]
    assert ada.get(LIST).status_code == 302
    settings.LOGOUT_REDIRECT_URL = "/goodbye/"
    assert ada.post(SIGN_OUT)["Location"] == "/goodbye/"


def test_no_other_site_can_sign_out(user):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)

    assert browser.get(SIGN_OUT).status_code == 405
    assert browser.post(SIGN_OUT).status_code == 403
    assert browser.get(LIST).status_code == 200


def test_project_can_change_parts_of_the_header(ada, use_templates):
    use_templates({BASE: EXTENDING})

    header = header_of(ada.get(LIST))

    assert text(header) == "Example Home Help Signed in as ada Sign out"


@pytest.mark.parametrize("name", ["header", "site_name", "home", "help", "user", "sign_out"])
def test_project_can_replace_each_block_of_the_header(ada, use_templates, name):
    use_templates({BASE: f"{{% extends '{BASE}' %}}{{% block {name} %}}Our own{{% endblock %}}"})

    assert "Our own" in text_of(ada.get(LIST))


def test_project_can_put_the_pages_into_its_own_layout(ada, use_templates):
    use_templates({BASE: REPLACING, "site.html": THEIR_LAYOUT})

    shown = text_of(ada.get(NEW))

    for part in ("New API key - Acme", "acme.css", "account.css", "Acme</nav>", "allowed_ips"):
        assert part in shown
    assert not elements(shown, class_="frappe-tokens-header")
