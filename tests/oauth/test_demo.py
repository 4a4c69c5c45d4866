"""What ``manage.py demo`` prints about OAuth 2, done."""

import io
import json
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from oauth2_provider.models import Application

from testproject import oauth

from ..conftest import PASSWORD
from .conftest import visit


@pytest.mark.django_db(transaction=True)
def test_application_gets_a_token_of_the_manager(live_server, settings, monkeypatch):
    settings.DEBUG = True
    monkeypatch.setenv("PORT", live_server.url.rpartition(":")[2])
    output = io.StringIO()
    call_command("demo", "--no-serve", stdout=output)
    # The live server is at another name of the same machine.
    printed = output.getvalue().replace("127.0.0.1", "localhost").splitlines()
    application = Application.objects.get(client_id=oauth.APP)
    application.redirect_uris = application.redirect_uris.replace("127.0.0.1", "localhost")
    application.save()
    manager = get_user_model().objects.get(username="manager")
    manager.set_password(PASSWORD)
    manager.save()

    (url,) = (line for line in printed if line.startswith("http") and "authorize?" in line)
    assert "code_verifier" not in url
    back = visit("manager", url)
    (code,) = parse_qs(urlsplit(back).query)["code"]
    assert code in requests.get(back, timeout=30).text
    (command,) = (line for line in printed if "PUT_IN_THE_CODE" in line)
    command = ["sh", "-c", command.replace("PUT_IN_THE_CODE", code)]
    token = json.loads(subprocess.check_output(command, text=True, timeout=60))

    assert token["scope"] == "read write todos openid"
    assert "refresh_token" in token


@pytest.mark.django_db
def test_clients_stay_and_get_a_new_secret(user):
    secrets = {oauth.confidential_client(user) for _ in range(2)}
    links = {oauth.public_client("http://127.0.0.1:8000").address for _ in range(2)}

    assert (len(secrets), len(links)) == (2, 2)
    public, service = Application.objects.order_by("-client_id")
    assert (public.client_id, public.client_type) == ("todo-app", "public")
    assert (service.client_id, service.user) == ("report-service", user)
    assert not {public.client_secret, service.client_secret} & {*secrets, ""}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("error", "access_denied", "access_denied"), ("error_description", "<b>", "&lt;b&gt;")],
)
def test_page_says_why_there_is_no_code(db, name, value, shown):
    page = Client().get("/oauth/callback/", {name: value}).content.decode()

    assert "got no access" in page
    assert shown in page
    assert "<b>" not in page
