"""Who may change an OAuth application in the admin, and as whom its tokens then run."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from oauth2_provider.models import Application

from .conftest import METHODS, SECRET

pytestmark = [pytest.mark.urls("testproject.urls"), pytest.mark.django_db]

CHANGE = ("oauth2_provider.view_application", "oauth2_provider.change_application")
ADD = ("oauth2_provider.view_application", "oauth2_provider.add_application")


def fields_of(application: Application, **changed: Any) -> dict[str, Any]:
    """What the page of an application posts."""
    names = ["client_id", "redirect_uris", "client_type", "authorization_grant_type", "name"]
    fields = {name: getattr(application, name) for name in names}
    return {**fields, "user": application.user_id or "", "client_secret": SECRET, **changed}


def runs_as(client_id: str) -> str:
    """As whom requests run by client credentials; the refusal where they do not."""
    sent = {"client_id": client_id, "client_secret": SECRET, "scope": "openid"}
    sent["grant_type"] = "client_credentials"
    token = Client().post(METHODS + "get_token", sent).json()
    if "error" in token:
        return str(token["error"])
    header = {"Authorization": f"Bearer {token['access_token']}"}
    answer = Client().get(METHODS + "openid_profile", headers=header).json()
    return str(answer.get("name") or answer["code"])


@pytest.fixture
def root(make_user: Any) -> Any:
    return make_user("root", is_staff=True, is_superuser=True)


def test_staff_who_may_change_applications_does_not_become_a_superuser(
    client: Client, make_user: Any, root: Any, confidential: Application
) -> None:
    client.force_login(make_user("staff", CHANGE, is_staff=True))
    page = reverse("admin:oauth2_provider_application_change", args=(confidential.pk,))

    client.post(page, fields_of(confidential, user=root.pk))

    assert runs_as(confidential.client_id) != "root"


def test_application_whose_user_was_set_past_the_guard_is_refused(
    root: Any, confidential: Application
) -> None:
    Application.objects.update(user=root)

    assert runs_as(confidential.client_id) == "unauthorized_client"
