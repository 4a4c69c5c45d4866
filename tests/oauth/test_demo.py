"""What ``manage.py demo`` prints about OAuth 2, done."""

import io
import json
import re
import shlex
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
from .test_flows import Person


@pytest.mark.django_db(transaction=True)
def test_application_gets_a_token_of_the_manager(live_server, settings, monkeypatch):
    settings.DEBUG = True
    monkeypatch.setenv("PORT", live_server.url.rpartition(":")[2])
    printed = io.StringIO()
    call_command("demo", "--no-serve", stdout=printed)
    lines = printed.getvalue().splitlines()
    here = [line.replace("http://127.0.0.1:", "http://localhost:") for line in lines]
    # The live server is at another name of the same machine.
    for application in Application.objects.all():
        application.redirect_uris = application.redirect_uris.replace("127.0.0.1", "localhost")
        application.save()
    manager = get_user_model().objects.get(username="manager")
    manager.set_password(PASSWORD)
    manager.save()

    (address,) = (line for line in here if line.startswith("http") and "authorize?" in line)
    back = Person("manager").visit(address.replace("127.0.0.1", "localhost"))
    page = requests.get(back, timeout=30)
    (code,) = parse_qs(urlsplit(back).query)["code"]
    assert code in page.text
    (command,) = (line for line in here if "PUT_IN_THE_CODE" in line)
    done = subprocess.run(
        ["sh", "-c", command.replace("PUT_IN_THE_CODE", code)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    token = json.loads(done.stdout)
    assert token["scope"] == "read write todos openid"
    assert "refresh_token" in token
    assert not re.search(r"code_verifier", address)
    assert "-d" in shlex.split(command)


@pytest.mark.django_db
def test_clients_are_the_same_with_a_new_secret(user):
    secrets = {oauth.confidential_client(user) for _ in range(2)}
    links = {oauth.public_client("http://127.0.0.1:8000").address for _ in range(2)}
    assert (len(secrets), len(links)) == (2, 2)
    public, service = Application.objects.order_by("-client_id")
    assert (public.client_id, public.client_type) == ("todo-app", "public")
    assert (service.client_id, service.user) == ("report-service", user)
    assert not {public.client_secret, service.client_secret} & {*secrets, ""}


def test_page_says_why_there_is_no_code(db):
    page = Client().get("/oauth/callback/", {"error": "access_denied"}).content.decode()
    assert "got no access" in page
    assert "access_denied" in page
    page = Client().get("/oauth/callback/", {"error_description": "<b>"}).content.decode()
    assert "<b>" not in page
