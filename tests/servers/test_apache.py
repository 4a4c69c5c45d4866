"""Apache hands the Authorization header to an application only if it is told to."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from ..commands.test_check_token import check  # noqa: F401 - a fixture
from ..groups import leave_out

pytestmark = pytest.mark.process

PROJECT = Path(__file__).parent.parent.parent
SITE_PACKAGES = Path(pytest.__file__).parent.parent
WHO = "/api/method/frappe.auth.get_logged_user"
MODULES = Path("/usr/lib/apache2/modules")

CONFIGURATION = """
ServerRoot "{folder}"
ServerName localhost
PidFile "{folder}/apache.pid"
DefaultRuntimeDir "{folder}"
Listen 127.0.0.1:{port}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
ErrorLog "{folder}/error.log"
<Directory "{folder}">
    Require all granted
</Directory>
"""

MOD_WSGI = """
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {folder}/wsgi
WSGIDaemonProcess site python-path={project}:{site_packages} threads=2
WSGIProcessGroup site
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias / {folder}/site.py
{switch}
"""

CGI = """
LoadModule cgid_module {modules}/mod_cgid.so
ScriptSock {folder}/cgid.sock
ScriptAlias / {folder}/site.cgi/
{switch}
"""

SCRIPT = """#!/usr/bin/python3
import os, sys
sys.path[:0] = [{project!r}, {site_packages!r}]
os.environ.update({environment!r})
from testproject.wsgi import application
"""

RUN_AS_CGI = """
from wsgiref.handlers import CGIHandler
CGIHandler().run(application)
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(command, port):
    """Run a server until the block ends. It has begun to listen on ``port``."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert server.poll() is None, server.communicate()[0]
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.communicate(timeout=30)


@pytest.fixture(scope="session")
def folder():
    """A folder that other users of the machine can read, unlike pytest's."""
    path = Path(tempfile.mkdtemp(prefix="servers-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def site(folder):
    """A site of its own with one key: its database, its environment, and the token."""
    database = folder / "db"
    database.mkdir()
    environment = {
        "DATABASE_URL": f"sqlite:///{database / 'site.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "DJANGO_SECRET_KEY": "made up for the tests of servers",
    }

    def manage(*arguments, **options):
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env={**os.environ, "REDIS_URL": "", **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    manage("migrate", "--verbosity", "0")
    made = json.loads(manage("generate_keys", "robot", "--create-user", "--format", "json"))
    # The server's own user writes there.
    database.chmod(0o777)
    (database / "site.sqlite3").chmod(0o666)
    return environment, f"{made['api_key']}:{made['api_secret']}"


@contextmanager
def apache(site, folder, configuration, switch):
    """Serve ``site``, and yield its address."""
    # It may not be in the PATH of an ordinary user.
    executable = shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin")
    if executable is None:
        leave_out("Apache", "is not installed (apt-get install apache2 libapache2-mod-wsgi-py3)")
    if sys.version_info[:2] != system_version():
        leave_out("Apache", "its Python has another version", in_ci_too=True)
    environment, _token = site
    port = free_port()
    names = {
        "folder": folder,
        "port": port,
        "modules": MODULES,
        "project": PROJECT,
        "site_packages": SITE_PACKAGES,
        "switch": switch,
        "user": "User www-data\nGroup www-data" if os.getuid() == 0 else "",
    }
    script = SCRIPT.format(
        project=str(PROJECT), site_packages=str(SITE_PACKAGES), environment=environment
    )
    (folder / "site.py").write_text(script)
    (folder / "site.cgi").write_text(script + RUN_AS_CGI)
    (folder / "site.cgi").chmod(0o755)
    file = folder / "apache.conf"
    file.write_text((CONFIGURATION + configuration).format(**names))
    with running([executable, "-f", str(file), "-DFOREGROUND"], port):
        yield f"http://127.0.0.1:{port}"


def system_version():
    (library,) = MODULES.glob("mod_wsgi.so-*")
    return tuple(int(part) for part in library.name.rpartition("-")[2].split("."))


@pytest.mark.parametrize(
    ("configuration", "switch"),
    [(MOD_WSGI, "WSGIPassAuthorization On"), (CGI, "CGIPassAuth On")],
    ids=["mod_wsgi", "CGI"],
)
def test_header_arrives_only_with_the_switch(site, folder, check, configuration, switch):  # noqa: F811
    _environment, token = site
    header = {"Authorization": f"token {token}"}
    if configuration is CGI:
        switch = f'<Directory "{folder}">\n{switch}\n</Directory>'

    with apache(site, folder, configuration, "") as address:
        without = httpx.get(address + WHO, headers=header, timeout=60)
        assert without.status_code == 401, (folder / "error.log").read_text()
        assert "WSGIPassAuthorization On" in check(address + WHO, token)
    with apache(site, folder, configuration, switch) as address:
        with_switch = httpx.get(address + WHO, headers=header, timeout=60)
        assert with_switch.json() == {"message": "robot"}
        assert "The request ran as robot." in check(address + WHO, token)
