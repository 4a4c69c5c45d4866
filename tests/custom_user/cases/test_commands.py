from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from frappe_tokens.models import ApiKey

pytestmark = pytest.mark.django_db


def test_imports_lists_and_revokes_by_email(make_user, tmp_path):
    emails = [f"user{number}@example.com" for number in range(3)]
    lines = [f"{email},key{number},0123456789abcdef" for number, email in enumerate(emails)]
    for email in emails:
        make_user(email)
    path = tmp_path / "keys.csv"
    path.write_text("\n".join(["user,api_key,api_secret", *lines]))

    def run(*arguments):
        out = StringIO()
        call_command(*arguments, stdout=out, stderr=StringIO())
        return out.getvalue()

    assert run("import_keys", str(path)) == "Imported 3 keys for 3 users.\n"
    headers = {"authorization": "token key1:0123456789abcdef"}
    answer = Client().get("/api/method/frappe.auth.get_logged_user", headers=headers)
    assert answer.json() == {"message": emails[1]}
    assert len(run("list_keys", "--user", emails[2]).splitlines()) == 2
    assert run("revoke_keys", "--user", emails[0]) == f"Revoked key0 of {emails[0]}.\n"
    assert ApiKey.objects.filter(live=True).count() == 2
