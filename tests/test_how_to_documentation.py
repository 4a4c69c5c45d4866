"""The how-to pages about keys are executed."""

import os
import re
import shlex
import stat
import subprocess
import unittest
from contextlib import suppress
from datetime import timedelta

import polib
import pytest
from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.auth.models import Group, User
from django.core.management import load_command_class
from django.test.utils import isolate_apps
from django.urls import include, path
from django.utils import timezone, translation
from django.utils.translation import trans_real
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens import crypto, signals
from frappe_tokens.admin import ApiKeySourceMixin
from frappe_tokens.authentication import TokenAuthentication
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import Actor, generate_keys, generate_keys_for_source
from frappe_tokens.models import ApiKey
from testproject.events.models import EventConsumer

from .documentation import ROOT, blocks, page
from .team_leads import BACKENDS

pytest_plugins = ["frappe_tokens.test.fixtures"]
pytestmark = pytest.mark.django_db

HOW_TO = sorted((ROOT / "docs/how-to").glob("*.md"))
COMMANDS = sorted(it.stem for it in (ROOT / "frappe_tokens/management/commands").glob("[a-z]*.py"))


def block(name, language, containing):
    """The one example of a page in this language with these words."""
    (found,) = [it for it in blocks(page(name), language) if containing in it]
    return found


def execute(name, containing, **names):
    names = {"__name__": __name__, **names}
    exec(block(name, "python", containing), names)  # noqa: S102 - our own documentation
    return names


@pytest.mark.parametrize("path", HOW_TO, ids=lambda path: path.stem)
def test_commands_and_their_options_exist(path):
    lines = re.findall(r"python manage\.py (\w+_\w+)((?:.*\\\n)*.*)", path.read_text())

    for name, arguments in lines:
        if name not in COMMANDS:
            continue  # of another package
        arguments = re.split(r"[`>|)]", arguments.replace("\\\n", " "))[0]
        parser = load_command_class("frappe_tokens", name).create_parser("manage.py", name)
        parser.parse_args(shlex.split(arguments))


def test_key_is_rotated_with_a_grace_period(user):
    generate_keys(user, name="deploy")
    first = ApiKey.objects.get()

    keys = execute("how-to/rotate", "grace=", user=user)["keys"]

    assert keys.api_key == first.api_key
    key = ApiKey.objects.get()
    assert key.previous_digest == first.secret_digest
    assert key.previous_expires_at - key.rotated_at == timedelta(hours=24)


@pytest.mark.django_db(transaction=True)
def test_job_rotates_its_own_key(live_server, user, tmp_path):
    expires_at = timezone.now() + timedelta(days=91)
    keys = generate_keys(user, self_rotate=True, read_only=True, expires_at=expires_at)
    code = block("how-to/rotate", "sh", "self/rotate").replace(
        "https://example.com", live_server.url
    )
    env = {**os.environ, "API_KEY": keys.api_key, "API_SECRET": str(keys.api_secret)}

    done = subprocess.run(
        ["sh", "-ec", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("", "")
    (file,) = tmp_path.iterdir()
    assert stat.filemode(file.stat().st_mode) == "-rw-------"
    key = ApiKey.objects.get()
    assert crypto.matches(file.read_text(), key.secret_digest)
    assert key.expires_at < expires_at
    assert key.previous_expires_at == key.rotated_at + timedelta(days=1)


def test_long_unused_keys_are_disabled(user):
    unused, used, new = (generate_keys(user, name=name).instance for name in ("a", "b", "c"))
    long_ago = timezone.now() - timedelta(days=181)
    ApiKey.objects.filter(pk__in=[unused.pk, used.pk]).update(rotated_at=long_ago)
    ApiKey.objects.filter(pk=used.pk).update(last_used_at=timezone.now())

    execute("how-to/find-unused-keys", "unused_for")

    assert [it.pk for it in ApiKey.objects.filter(disabled_at__isnull=False)] == [unused.pk]
    assert not ApiKey.objects.get(pk=new.pk).is_disabled


def test_users_own_page_is_included():
    (route,) = execute("how-to/let-users-make-keys", "urlpatterns")["urlpatterns"]

    assert str(route.pattern) == "account/api-keys/"
    assert route.urlconf_name.app_name == "frappe_tokens_account"


def test_lead_manages_keys_of_members(make_user, settings):
    settings.AUTHENTICATION_BACKENDS = BACKENDS["guardian"]
    lead, member, other = (make_user(name) for name in ("lead", "member", "other"))

    execute("how-to/let-leads-manage-keys", "assign_perm", lead=lead, member=member)

    assert Actor(User.objects.get(pk=lead.pk)).may_manage(member)
    assert not Actor(User.objects.get(pk=lead.pk)).may_manage(other)


def test_backend_lets_staff_lead_their_groups(make_user, settings, monkeypatch):
    backend = execute("how-to/let-leads-manage-keys", "TeamLeadBackend")["TeamLeadBackend"]
    monkeypatch.setitem(globals(), "TeamLeadBackend", backend)
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        f"{__name__}.TeamLeadBackend",
    ]
    lead, member, other = (make_user(name) for name in ("lead", "member", "other"))
    User.objects.filter(pk=lead.pk).update(is_staff=True)
    group = Group.objects.create(name="a team")
    group.user_set.add(lead, member)

    actor = Actor(User.objects.get(pk=lead.pk))

    assert actor.is_lead
    assert actor.may_manage(member)
    assert not actor.may_manage(other)


def test_model_is_a_source_of_keys():
    with isolate_apps("tests.sources"):
        names = {"__name__": "tests.sources.documented"}
        code = block("how-to/use-another-model", "python", "AbstractApiKey.Meta")
        exec(code, names)  # noqa: S102 - our own documentation
        meta = names["EventConsumer"]._meta

    assert {it.name for it in meta.constraints} == {
        *("sources_eventconsumer_has_api_key", "sources_eventconsumer_grace_ends")
    }
    assert len(meta.indexes) == 2


def test_model_of_the_page_is_registered_in_the_admin():
    registered = type(admin.site.get_model_admin(EventConsumer))
    admin.site.unregister(EventConsumer)
    try:
        execute("how-to/use-another-model", "admin.register", EventConsumer=EventConsumer)

        assert isinstance(admin.site.get_model_admin(EventConsumer), ApiKeySourceMixin)
    finally:
        with suppress(NotRegistered):
            admin.site.unregister(EventConsumer)
        admin.site.register(EventConsumer, registered)


def test_keys_of_another_model_are_managed(make_user):
    user, other_user = make_user("ada"), make_user("grace")

    names = execute(
        "how-to/use-another-model",
        "change_user(",
        EventConsumer=EventConsumer,
        user=user,
        other_user=other_user,
    )

    consumer = EventConsumer.objects.get()
    assert consumer.api_key == names["keys"].api_key
    assert (consumer.user, consumer.scopes) == (other_user, ["events"])
    assert consumer.revoked_reason == "stolen"


def test_only_consumers_post(user, rf):
    permission = execute(
        "how-to/use-another-model", "OnlyConsumersPost", EventConsumer=EventConsumer
    )["OnlyConsumersPost"]()
    consumer = EventConsumer.objects.create(name="Door sensor", user=user)

    def may(method, auth):
        request = rf.generic(method, "/")
        request.auth = auth
        return permission.has_permission(request, None)

    keys = generate_keys_for_source(consumer)
    assert may("POST", keys.instance)
    assert may("GET", ApiKey())
    assert not may("POST", ApiKey())


# The tests of a project.


class Report(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = []
    required_scopes = ["reports"]

    def get(self, request):
        return Response("ok")

    post = get


urlpatterns = [path("api/report/", Report.as_view()), path("", include("testproject.urls"))]


@pytest.mark.urls(__name__)
def test_test_case_of_the_page_passes():
    case = execute("how-to/test-your-views", "class ReportTests")["ReportTests"]
    result = unittest.TestResult()

    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)

    assert (result.testsRun, result.failures, result.errors) == (1, [], [])


@pytest.mark.urls(__name__)
def test_test_function_of_the_page_passes(api_key_client, django_user_model, settings):
    settings.FRAPPE_TOKENS = {"SCOPES": {"reports": "Read reports"}}
    test = execute("how-to/test-your-views", "def test_scoped")["test_scoped_key_opens_the_report"]

    test(api_key_client, django_user_model)


def test_fixtures_of_the_page_are_these():
    names = execute("how-to/test-your-views", "pytest_plugins")

    assert names["pytest_plugins"] == ["frappe_tokens.test.fixtures"]


def test_client_of_the_page_sends_the_key(user):
    client = execute("how-to/test-your-views", "KeyAPIClient")["KeyAPIClient"]()
    client.use_key(generate_keys(user))

    assert client.get("/api/method/frappe.auth.get_logged_user").json() == {"message": "ada"}


def test_catalog_of_a_project_comes_first(settings, tmp_path):
    folder = tmp_path / "locale/de/LC_MESSAGES"
    folder.mkdir(parents=True)
    catalog = polib.pofile(block("how-to/translate", "po", "msgid"))
    catalog.save_as_mofile(str(folder / "django.mo"))
    names = execute("how-to/translate", "LOCALE_PATHS", BASE_DIR=tmp_path)

    settings.LOCALE_PATHS = names["LOCALE_PATHS"]
    trans_real._translations.clear()
    try:
        with translation.override("de"):
            sentence = str(Reason.KEY_REVOKED.sentence)
    finally:
        trans_real._translations.clear()

    assert sentence.endswith("Schreiben Sie an api@example.com.")


def test_receiver_informs_the_user(user):
    posts = []
    key = generate_keys(user, expires_at=timezone.now() + timedelta(days=1)).instance
    receiver = execute("reference/signals", "key_expiring", post=lambda *args: posts.append(args))

    try:
        signals.key_expiring.send(sender=ApiKey, instance=key)
    finally:
        signals.key_expiring.disconnect(receiver["tell"])

    ((informed, text),) = posts
    assert informed == user
    assert text.startswith(f"{key.api_key} expires at 20")


@pytest.mark.parametrize(
    ("place", "file"),
    [("In the admin", "theme"), ("In the admin", "lists"), ("On the users' own page", "account")],
)
def test_colors_are_in_the_reference(place, file):
    section = page("reference/pages")
    section = section[section.index(f"| {place} (") :].split("\n\n")[0]
    css = (ROOT / f"frappe_tokens/static/frappe_tokens/{file}.css").read_text()
    root = css[css.index(":root {") : css.index("\n}", css.index(":root {"))]
    shown = re.findall(r"`(?:--frappe-tokens)?(-[a-z-]+)`", section)

    assert {*re.findall(r"^    --frappe-tokens(-[a-z-]+):", root, re.MULTILINE)} <= {*shown}


def test_example_of_a_theme_sets_colors_that_exist():
    css = (ROOT / "frappe_tokens/static/frappe_tokens/theme.css").read_text()
    (example,) = blocks(page("how-to/theme-the-pages"), "css")

    for name in re.findall(r"(--[a-z-]+):", example):
        assert f"    {name}:" in css
