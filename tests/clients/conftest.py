import shutil
import subprocess
from pathlib import Path

import pytest

from frappe_tokens.keys import generate_keys

from ..groups import leave_out

HERE = Path(__file__).parent
ALL_PERMISSIONS = ("todos.view_todo", "todos.add_todo", "todos.change_todo", "todos.delete_todo")


def install_package(group, source, directory):
    """Install the packages that ``source`` pins into ``directory``, if there is Node.js."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        leave_out(group, "Node.js and npm are needed to run it")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, directory)
    npm_ci = [npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
    done = subprocess.run(npm_ci, cwd=directory, capture_output=True, text=True, timeout=300)
    if done.returncode:
        leave_out(group, f"npm could not install it: {done.stderr.strip()}")
    return directory


@pytest.fixture(scope="session")
def sdk(tmp_path_factory):
    """A directory with round.mjs, and frappe-js-sdk beside it."""
    directory = install_package("frappe-js-sdk", HERE, tmp_path_factory.mktemp("frappe-js-sdk"))
    shutil.copy(HERE / "round.mjs", directory)
    return directory


@pytest.fixture(scope="session")
def newman(tmp_path_factory):
    """The program that runs Postman's collections."""
    directory = tmp_path_factory.mktemp("newman")
    installed = install_package("Postman", HERE / "postman", directory)
    return installed / "node_modules" / ".bin" / "newman"


@pytest.fixture
def worker_keys(make_user):
    """The keys of a user with every permission on ToDos."""
    return generate_keys(make_user("worker", permissions=ALL_PERMISSIONS))
