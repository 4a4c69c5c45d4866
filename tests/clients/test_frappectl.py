"""The unmodified frappectl, Frappe's command-line client, works against the example project."""

import json
import subprocess
import sys

import pytest
from django.contrib.auth.models import Group, Permission

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo

pytestmark = pytest.mark.once


@pytest.fixture
def run(live_server, tmp_path, worker_keys):
    """Run ``frappectl`` with a key, by default that of a user with every permission."""

    def run_command(*arguments, keys=worker_keys, secret=None, body=None):
        # Nothing of whoever runs the tests: no profile, which would be in their home, and no proxy.
        environment = {
            "HOME": str(tmp_path),
            "FRAPPE_SITE": live_server.url,
            "FRAPPE_API_KEY": keys.api_key,
            "FRAPPE_API_SECRET": secret or str(keys.api_secret),
            "COLUMNS": "500",  # no line of an error is broken
        }
        return subprocess.run(
            [sys.executable, "-m", "frappectl", *arguments],
            env=environment,
            input=json.dumps(body) if body else "",
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run_command


@pytest.fixture
def frappectl(run):
    """Return what ``frappectl`` prints."""

    def result(*arguments, **options):
        done = run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return result


@pytest.fixture
def refused(run):
    """Return the sentence with which ``frappectl`` fails."""

    def sentence(*arguments, **options):
        done = run(*arguments, **options)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr.partition("error: ")[2].partition("\n")[0]

    return sentence


def test_round_of_a_document(frappectl):
    created = frappectl("doc", "create", "ToDo", "--set", "description=Water", "--set", "date=")
    name = created["name"]
    assert (created["doctype"], created["owner"], created["date"]) == ("ToDo", "worker", None)
    assert frappectl("doc", "get", "ToDo", name)["description"] == "Water"

    updated = frappectl("doc", "update", "ToDo", name, body={"status": "Closed"})
    assert (updated["status"], updated["description"]) == ("Closed", "Water")
    forced = frappectl("doc", "update", "ToDo", name, "--set", "priority=High", "--force")
    assert (forced["status"], forced["priority"]) == ("Closed", "High")

    # It chooses the columns by the DocType.
    rows = frappectl("doc", "list", "ToDo")
    assert rows == [
        {"name": name, "description": "Water", "status": "Closed", "priority": "High"},
    ]
    assert frappectl("doc", "delete", "ToDo", name) == {"deleted": name, "doctype": "ToDo"}
    assert not ToDo.objects.exists()


def test_lists_and_counts(frappectl, worker_keys):
    owner = worker_keys.instance.user
    names = [f"t{number:03}" for number in range(201)]
    ToDo.objects.bulk_create(ToDo(name=name, owner=owner, description="a") for name in names)
    ToDo.objects.filter(name__in=["t001", "t002"]).update(status="Closed")

    by_name = ("doc", "list", "ToDo", "--fields", "name", "--order-by", "name")
    pages = frappectl(*by_name, "--all")
    first = frappectl(*by_name, "--limit", "1", "-f", "status=Closed")

    assert [row["name"] for row in pages] == names
    assert first == [{"name": "t001"}]
    assert frappectl("api", "doctype/ToDo/count") == 201
    closed = 'filters:={"status": "Closed"}'
    assert frappectl("api", "doctype/ToDo/count", "-F", closed) == 2
    call = ("method", "call", "frappe.client.get_count", "-F", "doctype=ToDo", "-F", closed)
    assert frappectl(*call) == frappectl(*call, "-X", "GET") == 2


def test_shows_the_doctype(frappectl):
    role = Group.objects.create(name="ToDo Reader")
    role.permissions.add(Permission.objects.get(codename="view_todo"))

    shown = frappectl("doctype", "show", "ToDo")

    assert (shown["name"], shown["title_field"]) == ("ToDo", "description")
    assert [field["fieldname"] for field in shown["fields"] if field.get("reqd")] == ["description"]
    options = {field["fieldname"]: field.get("options") for field in shown["fields"]}
    assert options["priority"] == "High\nMedium\nLow"
    assert {"role": "ToDo Reader", "permlevel": 0, "read": 1} in shown["permissions"]


def test_calls_methods(frappectl):
    assert frappectl("auth", "whoami")["user"] == "worker"
    assert frappectl("api", "method/ping") == "pong"
    assert frappectl("method", "call", "frappe.auth.get_logged_user") == "worker"
    inserted = frappectl(
        *("method", "call", "frappe.client.insert"),
        *("-F", 'doc:={"doctype": "ToDo", "description": "Weed"}'),
    )
    assert ToDo.objects.get().name == inserted["name"]


def test_prints_why_it_is_refused(refused, make_user):
    viewer = generate_keys(make_user("viewer", permissions=("todos.view_todo",)))
    create = ("doc", "create", "ToDo", "--set")

    assert refused("doc", "get", "ToDo", "nobody") == "ToDo nobody not found."
    assert refused(*create, "status=Open") == "description: This field is required."
    lacking = "viewer lacks the permission todos.add_todo."
    assert refused(*create, "description=a", keys=viewer) == lacking
    assert refused("auth", "whoami", secret="wrong").startswith("Authentication failed (401).")
    unknown = "There is no such address, method or DocType."
    assert refused("doc", "list", "User") == unknown
    assert refused("api", "nothing/here") == unknown
    assert refused("method", "call", "frappe.client.rename_doc") == unknown
    assert refused("method", "list") == "Method discovery is not available on this site."


def test_reports_a_change_by_someone_else(frappectl, refused):
    name = frappectl("doc", "create", "ToDo", "--set", "description=Water")["name"]
    read = frappectl("doc", "get", "ToDo", name)
    frappectl("doc", "update", "ToDo", name, "--set", "status=Closed")

    body = {"modified": read["modified"], "description": "Weed"}
    sentence = refused("doc", "update", "ToDo", name, body=body)

    assert sentence.startswith(f"ToDo {name} was modified since you read it.")
    assert ToDo.objects.get().description == "Water"
