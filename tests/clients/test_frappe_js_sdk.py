"""The unmodified frappe-js-sdk does its whole round."""

import json
import shutil
import subprocess
import sys

import pytest

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo

from .. import groups
from .conftest import install_sdk


@pytest.mark.node
@pytest.mark.parametrize("token_type", ["token", "Bearer"])
def test_does_its_round(
    sdk,
    live_server,
    worker_keys,
    make_user,
    token_type,
):
    viewer = generate_keys(make_user("viewer", permissions=("todos.view_todo",)))
    done = subprocess.run(
        ["node", "round.mjs", live_server.url, token_type, worker_keys.token, viewer.token],
        cwd=sdk,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)

    created = said["created"]
    assert said["user"] == created["owner"] == "worker"
    assert (created["doctype"], created["priority"]) == ("ToDo", "High")
    assert said["document"] == created
    assert [row.keys() for row in said["names"]] == [{"name"}] * 3
    assert said["list"] == [{"description": "Weed", "priority": "High"}]
    assert said["next"] == [["Water"], ["Wait"]]
    assert said["either"] == [{"description": "Wait"}, {"description": "Weed"}]
    assert (said["updated"]["status"], said["updated"]["description"]) == ("Closed", "Water")
    assert (said["count"], said["open"]) == (3, 2)
    assert said["last"]["description"] == "Wait"
    assert said["value"] == {"message": {"status": "Closed", "owner": "worker"}}
    assert said["set"]["message"]["priority"] == "Low"
    assert said["setSeveral"]["message"]["status"] == "Open"
    assert said["called"] == {"message": "worker"}
    assert said["deleted"]["message"] == "ok"
    assert said["viewed"] == ToDo.objects.count() == 2

    for call, status, exc_type in [
        ("missing", 404, "DoesNotExistError"),
        ("noDocType", 404, "DoesNotExistError"),
        ("invalid", 417, "ValidationError"),
        ("wrongSecret", 401, "AuthenticationError"),
        ("missingPermission", 403, "PermissionError"),
    ]:
        assert (said[call]["httpStatus"], said[call]["exc_type"]) == (status, exc_type)
        assert said[call]["exception"].startswith(f"frappe.exceptions.{exc_type}: ")


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_is_left_out_without_node_but_never_in_ci(monkeypatch, tmp_path, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(groups, "LEFT_OUT", {})
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(outcome, match=r"frappe-js-sdk: Node\.js and npm are needed"):
        install_sdk(tmp_path)


def test_is_left_out_where_npm_cannot_install_it(monkeypatch, tmp_path):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(groups, "LEFT_OUT", {})
    # Any program that fails when it is told to "ci".
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
    with pytest.raises(pytest.skip.Exception, match="npm could not install it: "):
        install_sdk(tmp_path)
