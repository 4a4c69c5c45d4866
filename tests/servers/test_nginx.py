"""nginx hands the Authorization header on, its own login's too. docs/troubleshooting.md is used."""

import base64
import os
import re
import shutil
import ssl
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from itertools import count

import httpx
import pytest

from ..groups import leave_out
from .conftest import make_token
from .processes import PROJECT, WHO, free_port, in_environment, manage, running

pytestmark = [pytest.mark.once, pytest.mark.process]

PAGE = (PROJECT / "docs" / "troubleshooting.md").read_text()
LOGIN = ("staging", "made-up")
ROOT = {"username": "root", "password": "a long made-up password"}
ALLOWED, ELSEWHERE = "127.0.0.2", "127.0.0.3"

SETTINGS = """
from testproject.settings import *

MIDDLEWARE.insert(
    MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1,
    "frappe_tokens.middleware.TokenAuthenticationMiddleware",
)
ROOT_URLCONF = "tests.servers.staging"
"""

CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    proxy_temp_path {folder}/nginx-proxy;
    scgi_temp_path {folder}/nginx-scgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    {outside}
    server {{
        listen 127.0.0.1:{port} {tls};
        {inside}
    }}
}}
"""

TLS = """
ssl_certificate {folder}/certificate.pem;
ssl_certificate_key {folder}/key.pem;
"""

PASS = "location / { proxy_pass http://127.0.0.1:8000; }"


def documented(language, begins):
    """The one example of the page that begins so."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(begins)]
    return found


def in_parts(block):
    """What an example has for outside of ``server { }``, and for inside."""
    outside, _, inside = block.partition("# In server { }\n")
    return outside, inside


MAP, STAGING = in_parts(documented("nginx", "# Outside of server { }\n"))
BEHIND_NGINX = documented("nginx", "proxy_set_header Host") + PASS
SETTINGS += documented("python", 'FRAPPE_TOKENS = {"NUM_PROXIES": 1}\nSECURE')
LOGIN_ONLY = (
    'auth_basic "Staging"; auth_basic_user_file /etc/nginx/staging.htpasswd;' + BEHIND_NGINX
)


@pytest.fixture(scope="session")
def tokens(site):
    """The token of a user, and one that may be used from one address only."""
    environment, token = site
    return token, make_token(environment, "nearby", "--allow-ip", ALLOWED)


@contextmanager
def gunicorn(site, modules, settings="", **variables):
    """Serve the site with more settings, and yield the port."""
    environment, _token = site
    (modules / "served_settings.py").write_text(SETTINGS + settings)
    variables["DJANGO_SETTINGS_MODULE"] = "served_settings"
    variables["PYTHONPATH"] = os.pathsep.join([str(PROJECT), str(modules)])
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--threads", "2", "--no-control-socket"]
    command += ["--bind", f"127.0.0.1:{port}", "testproject.wsgi:application"]
    with running(command, port, env=in_environment(environment | variables)):
        yield port


@pytest.fixture(scope="module")
def app(site, tmp_path_factory):
    """The site with the settings for nginx: its port."""
    with gunicorn(site, tmp_path_factory.mktemp("modules")) as port:
        yield port


@pytest.fixture(scope="module")
def app_without_login(site, tmp_path_factory):
    """The site with what the page shows for those who can't change the proxy: its port."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "myproject").mkdir()
    middleware = documented("python", "# myproject/middleware.py")
    (modules / "myproject" / "middleware.py").write_text(middleware)
    settings = documented("python", "# settings.py of the staging site")
    command = documented("sh", "export STAGING_AUTHORIZATION").replace("<password>", LOGIN[1])
    printed = subprocess.run(
        ["sh", "-c", f"{command}\nprintenv STAGING_AUTHORIZATION"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    login = printed.rstrip("\n")
    with gunicorn(site, modules, settings, STAGING_AUTHORIZATION=login) as port:
        yield port


@pytest.fixture
def nginx(folder):
    """Starts nginx before the app on a port, and returns its address."""
    executable = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if executable is None:
        leave_out("nginx", "is not installed (Debian: apt-get install nginx-light)")
    (folder / "staging.htpasswd").write_text(f"{LOGIN[0]}:{{PLAIN}}{LOGIN[1]}\n")
    numbers = count()

    def start(app_port, inside, outside="", tls=""):
        port = free_port()
        text = CONFIGURATION.format(
            folder=folder,
            port=port,
            tls="ssl" if tls else "",
            outside=outside,
            inside=inside + tls.format(folder=folder),
        )
        text = text.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{app_port}")
        text = text.replace("/etc/nginx/", f"{folder}/")
        file = folder / f"nginx-{next(numbers)}.conf"
        file.write_text(text)
        command = [executable, "-p", str(folder), "-c", str(file)]
        stack.enter_context(running(command, port))
        return f"http{'s' if tls else ''}://127.0.0.1:{port}"

    with ExitStack() as stack:
        yield start


def ask(url, token="", *, source="127.0.0.1", verify=True, **options):
    """The response to a request from an address of this machine."""
    headers = {"Authorization": f"token {token}"} if token else {}
    headers.update(options.pop("headers", {}))
    transport = httpx.HTTPTransport(local_address=source, verify=verify)
    with httpx.Client(transport=transport, timeout=60) as client:
        return client.get(url, headers=headers, **options)


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("scheme", ["token", "basic", "bearer"])
def test_token_arrives(nginx, app, tokens, check, scheme):
    address = nginx(app, PASS)

    assert "ran as robot." in check(address + WHO, tokens[0], "--scheme", scheme)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("", "a proxy replaces it"),
        (basic(":".join(LOGIN)), "A different Authorization header arrives"),
        ("token <token>", "a proxy replaces it"),
        ("token changed", "The token was changed on its way."),
    ],
    ids=["removed", "another login", "valid token", "malformed"],
)
def test_replaced_header_is_diagnosed(nginx, app, tokens, check, value, advice):
    value = value.replace("<token>", tokens[0])
    header = f'proxy_set_header Authorization "{value}";'
    address = nginx(app, header + PASS)

    assert advice in check(address + WHO, tokens[0])


def test_redirects_are_diagnosed(nginx, app, tokens, check):
    for target in ("https://$host$request_uri", "http://api.example.com$request_uri"):
        address = nginx(app, f"return 301 {target};")

        output = check(address + WHO, tokens[0])

        assert re.search(r"redirects to http\S+get_logged_user, where clients may", output)


def test_other_host_is_diagnosed(nginx, app, tokens, check):
    outside = f"upstream app {{ server 127.0.0.1:{app}; }}"
    by_name = "location / { proxy_pass http://app; }"
    without = nginx(app, by_name, outside)
    with_host = nginx(app, "proxy_set_header Host $http_host;" + by_name, outside)

    assert "the proxy sends the host" in check(without + WHO, tokens[0])
    assert "ran as robot." in check(with_host + WHO, tokens[0])


@pytest.mark.parametrize("switch", ["off", "on"])
def test_headers_with_underscores_do_not_arrive(nginx, app, tokens, switch):
    address = nginx(app, f"underscores_in_headers {switch};" + BEHIND_NGINX)
    forged = {"Frappe_Authorization_Source": "Nobody", "X_Forwarded_For": ALLOWED}

    assert ask(address + WHO, tokens[0], headers=forged).status_code == 200
    assert ask(address + WHO, tokens[1], headers=forged).json()["code"] == "ip_not_allowed"
    hyphens = {"Frappe-Authorization-Source": "Nobody"}
    assert ask(address + WHO, tokens[0], headers=hyphens).status_code == 401


@pytest.mark.parametrize("forged", ["", ALLOWED, ELSEWHERE, f"{ALLOWED}, {ALLOWED}"])
def test_client_cannot_choose_its_address(nginx, app, tokens, forged):
    url = nginx(app, BEHIND_NGINX) + WHO
    headers = {"X-Forwarded-For": forged} if forged else {}

    assert ask(url, tokens[1], source=ALLOWED, headers=headers).status_code == 200
    refused = ask(url, tokens[1], source=ELSEWHERE, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "ip_not_allowed")


def test_client_chooses_its_address_if_nginx_does_not_write_it(nginx, app, tokens):
    """What the page warns of."""
    url = nginx(app, PASS) + WHO

    forged = ask(url, tokens[1], source=ELSEWHERE, headers={"X-Forwarded-For": ALLOWED})

    assert forged.status_code == 200


def log_in(client, address):
    """Log in as a browser does, and return the response."""
    form = client.get(f"{address}/account/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)[1]
    return client.post(
        f"{address}/account/login/",
        data={**ROOT, "csrfmiddlewaretoken": token},
        headers={"Origin": address},
    )


@pytest.fixture(scope="session")
def superuser(site):
    environment, _token = site
    named = {f"DJANGO_SUPERUSER_{name.upper()}": value for name, value in ROOT.items()}
    manage(environment | named, "createsuperuser", "--noinput", "--email", "root@example.com")


@pytest.fixture(scope="session")
def certificate(folder):
    """A certificate of this machine and its key, for a server and for a client."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", key, "-out", certificate]
    subprocess.run([*command.split(), *named, *files], capture_output=True, check=True)
    return certificate, key


NO_SCHEME = BEHIND_NGINX.replace("proxy_set_header X-Forwarded-Proto $scheme;", "")


@pytest.mark.usefixtures("superuser")
@pytest.mark.parametrize(
    ("inside", "tls", "accepted"),
    [
        (PASS, "", False),
        (NO_SCHEME, TLS, False),
        (BEHIND_NGINX, "", True),
        (BEHIND_NGINX, TLS, True),
    ],
    ids=["neither", "no scheme", "plain", "TLS"],
)
def test_pages_are_of_the_same_site_if_host_and_scheme_are_passed_on(
    nginx, app, tokens, certificate, inside, tls, accepted
):
    address = nginx(app, inside, tls=tls)
    browser = {"Origin": address, "Authorization": basic(tokens[0])}

    with httpx.Client(
        verify=ssl.create_default_context(cafile=certificate[0]), timeout=60
    ) as person:
        assert log_in(person, address).status_code == (302 if accepted else 403)
        rotated = person.post(f"{address}/api/keys/none/rotate/", headers=browser)
    assert rotated.json()["code"] == ("no_key" if accepted else "cross_site_request")


def test_login_of_nginx_is_taken_for_an_api_key(nginx, app, tokens, check):
    address = nginx(app, LOGIN_ONLY)

    for path in ("/page/", "/view/"):
        refused = ask(address + path, auth=LOGIN)
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
    assert "requires its own login" in check(address + WHO, tokens[0])


@pytest.mark.usefixtures("superuser")
@pytest.mark.parametrize("place", ["nginx", "app"])
def test_site_works_behind_the_login(nginx, app, app_without_login, tokens, place):
    address = nginx(app, STAGING, MAP) if place == "nginx" else nginx(app_without_login, LOGIN_ONLY)

    assert ask(f"{address}/page/").headers["WWW-Authenticate"] == 'Basic realm="Staging"'
    with httpx.Client(auth=LOGIN, timeout=60) as person:
        for path in ("/page/", "/view/", "/api/view/"):
            assert "Hello AnonymousUser" in person.get(address + path).text
        assert log_in(person, address).status_code == 302
        for path in ("/page/", "/view/", "/api/view/"):
            assert "Hello root" in person.get(address + path).text
        # The app's own pages, which accept no session beside an unknown header.
        assert person.get(f"{address}/admin/frappe_tokens/apikey/").status_code == 200
        assert person.get(f"{address}/api/keys/").status_code == 200


def test_api_needs_a_token_where_nginx_requires_no_login(nginx, app, tokens, check):
    address = nginx(app, STAGING, MAP)

    assert "ran as robot." in check(address + WHO, tokens[0])
    assert "ran as robot." in check(address + WHO, tokens[0], "--scheme", "basic")
    for header in ({}, {"Authorization": basic("staging:wrong")}):
        assert ask(address + WHO, headers=header).status_code == 401
    refused = ask(f"{address}/api/view/", auth=("someone", "wrong"))
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")


def test_app_ignores_that_login_alone(nginx, app_without_login, tokens, check):
    address = nginx(app_without_login, BEHIND_NGINX)

    for login in [("staging", "wrong"), ("someone", LOGIN[1]), ("staging", f"{LOGIN[1]} ")]:
        for path in ("/page/", "/view/"):
            assert ask(address + path, auth=login).status_code == 401
    for scheme in ("token", "basic", "bearer"):
        assert "ran as robot." in check(address + WHO, tokens[0], "--scheme", scheme)


def with_api(location):
    """The configuration of the staging site with another ``location /api/``."""
    return STAGING[: STAGING.index("location /api/")] + location


def test_client_passes_both_by_another_header(nginx, app, tokens):
    block = documented("nginx", "# In server { }, by another header")
    address = nginx(app, with_api(block), MAP)
    token = {"X-Api-Authorization": f"token {tokens[0]}"}

    assert ask(address + WHO, auth=LOGIN, headers=token).json() == {"message": "robot"}
    assert ask(address + WHO, headers=token).text.startswith("<html>")
    assert ask(address + WHO, auth=LOGIN).status_code == 401
    assert ask(f"{address}/api/view/", auth=LOGIN).json() == "Hello AnonymousUser"


def test_client_passes_by_its_address(nginx, app, tokens):
    block = documented("nginx", "# In server { }, by address").replace("192.0.2.0/24", ALLOWED)
    address = nginx(app, with_api(block), MAP)

    assert ask(address + WHO, tokens[0], source=ALLOWED).json() == {"message": "robot"}
    assert ask(address + WHO, source=ALLOWED).json()["exc_type"] == "AuthenticationError"
    assert ask(address + WHO, tokens[0], source=ELSEWHERE).text.startswith("<html>")
    assert ask(f"{address}/api/view/", source=ELSEWHERE, auth=LOGIN).json().endswith("User")


def test_client_passes_by_its_certificate(nginx, app, tokens, folder, certificate):
    shutil.copy(certificate[0], folder / "clients.pem")
    outside, inside = in_parts(documented("nginx", "# Outside of server { }, by certificate"))
    server = STAGING.replace('auth_basic "Staging";\n', inside).replace("auth_basic off;", "")
    address = nginx(app, server, MAP + outside, TLS)
    stranger = ssl.create_default_context(cafile=certificate[0])
    client = ssl.create_default_context(cafile=certificate[0])
    client.load_cert_chain(*certificate)

    assert ask(address + WHO, tokens[0], verify=client).json() == {"message": "robot"}
    assert ask(address + WHO, verify=client).json()["exc_type"] == "AuthenticationError"
    assert ask(address + WHO, tokens[0], verify=stranger).text.startswith("<html>")
    assert "AnonymousUser" in ask(f"{address}/page/", auth=LOGIN, verify=stranger).text
