"""Apache passes the Authorization header to an application only if it is configured to."""

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ..groups import leave_out
from .processes import PROJECT, WHO, free_port, running

pytestmark = [pytest.mark.once, pytest.mark.process]

SITE_PACKAGES = Path(pytest.__file__).parent.parent
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
def test_header_arrives_only_with_the_switch(site, folder, check, configuration, switch):
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
