"""The unmodified frappe-js-sdk works against the example project."""

import json
import subprocess

import pytest

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo


@pytest.mark.node
def test_every_call(sdk, live_server, worker_keys, make_user):
    viewer = generate_keys(make_user("viewer", permissions=("todos.view_todo",)))
    done = subprocess.run(
        ["node", "round.mjs", live_server.url, "token", worker_keys.token, viewer.token],
        cwd=sdk,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)

    created = results["created"]
    assert results["user"] == created["owner"] == "worker"
    assert (created["doctype"], created["priority"]) == ("ToDo", "High")
    assert results["document"] == created
    assert [row.keys() for row in results["names"]] == [{"name"}] * 3
    assert results["list"] == [{"description": "Weed", "priority": "High"}]
    assert results["next"] == [["Water"], ["Wait"]]
    assert results["either"] == [{"description": "Wait"}, {"description": "Weed"}]
    assert (results["updated"]["status"], results["updated"]["description"]) == ("Closed", "Water")
    assert (results["count"], results["open"]) == (3, 2)
    assert results["last"]["description"] == "Wait"
    assert results["value"] == {"message": {"status": "Closed", "owner": "worker"}}
    assert results["set"]["message"]["priority"] == "Low"
    assert results["setSeveral"]["message"]["status"] == "Open"
    assert results["called"] == {"message": "worker"}
    assert results["deleted"]["message"] == "ok"
    assert results["viewed"] == ToDo.objects.count() == 2

    for call, status, exc_type in [
        ("missing", 404, "DoesNotExistError"),
        ("noDocType", 404, "DoesNotExistError"),
        ("invalid", 417, "ValidationError"),
        ("wrongSecret", 401, "AuthenticationError"),
        ("missingPermission", 403, "PermissionError"),
    ]:
        assert (results[call]["httpStatus"], results[call]["exc_type"]) == (status, exc_type)
        assert results[call]["exception"].startswith(f"frappe.exceptions.{exc_type}: ")
