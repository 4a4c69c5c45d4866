"""A tour of all our pages and dialogs, for tests that apply to each of them."""

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.models import get_application_model
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey, ApiRequestLog
from testproject import oauth
from testproject.events.models import EventConsumer
from tests.log_rows import logged, logged_days

from .conftest import CLOSE, GENERATE, SECRET, SUBMIT

OUTCOMES = {"accepted": 2, "invalid_credentials": 1, "insufficient_scope": 1, "other": 1}
NEW = ".frappe-tokens-list [data-frappe-tokens-dialog]"


def prepare(make_user):
    """Create the users, and keys in every state, that the pages show."""
    ada, grace = make_user("ada"), make_user("grace")
    key = generate_keys(ada).instance
    generate_keys(ada, grace=timedelta(days=7))
    logged_days(key, OUTCOMES, 7)  # a short list loads faster
    generate_keys(
        grace,
        name="deploy",
        read_only=True,
        scopes=["todos:read", "reports:write"],
        allowed_ips=["192.0.2.0/24", "2001:db8::/32"],
        rate_limit="100/minute",
        expires_at=timezone.now() + timedelta(days=5),
        metadata={"team": "billing"},
    )
    revoke(generate_keys(grace, name="old").instance, reason="The laptop was stolen.")
    logged(key, "insufficient_scope", path="/api/resource/" + "x" * 200)
    make_user("hedy")
    oauth.confidential_client(grace)
    EventConsumer.objects.create(name="billing", user=grace)


def open_section(page, name):
    """Open a section of a form, if the theme shows sections as tabs."""
    tab = page.get_by_role("tab", name=name)
    if tab.count():
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        expect(page.locator(".tab-pane.active.show")).to_have_count(1)


def admin_pages(page):
    """Open all pages and dialogs of the admin, one by one, and yield their names."""
    users = get_user_model().objects.in_bulk(field_name="username")

    def admin_url(name, *args):
        return reverse(f"admin:{name}", args=args)

    page.goto(admin_url("auth_user_change", users["ada"].pk))
    open_section(page, "API Access")
    yield "user"
    page.click(GENERATE)
    expect(page.locator(SUBMIT)).to_be_visible()
    page.check("#frappe-tokens-content [value=until]")
    yield "rotate dialog"
    page.check("#frappe-tokens-content [name=grace] >> nth=0")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    yield "secret dialog"
    page.click(CLOSE)
    page.goto(admin_url("auth_user_generate_keys", users["hedy"].pk))
    yield "generate"
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    yield "secret"

    page.goto(admin_url("auth_user_changelist"))
    for name in ("ada", "grace", "hedy"):
        page.check(f"input[name=_selected_action][value='{users[name].pk}']")
    page.select_option("select[name=action]", "generate_keys")
    page.click("button[name=index]")
    yield "generate for several"
    page.click(SUBMIT)
    expect(page.locator("a[download]")).to_be_visible()
    yield "several secrets"

    page.goto(admin_url("frappe_tokens_apikey_changelist"))
    yield "keys"
    deploy = ApiKey.objects.get(name="deploy")
    page.check(f"input[name=_selected_action][value='{deploy.pk}']")
    page.select_option("select[name=action]", "revoke_keys")
    page.click("button[name=index]")
    yield "revoke several"
    page.goto(admin_url("frappe_tokens_apikey_add"))
    page.fill("#id_name", "n")
    open_section(page, "Policies")
    page.fill("[name=allowed_ips]", "127.0.0.1/8")
    page.click("[name=_save]")
    open_section(page, "Policies")
    yield "add key"
    page.goto(admin_url("frappe_tokens_apikey_change", deploy.pk))
    open_section(page, "API Access")
    yield "key"
    page.goto(admin_url("frappe_tokens_apikey_revoke", deploy.pk))
    yield "revoke"
    page.goto(admin_url("frappe_tokens_apikey_change", ApiKey.objects.get(name="old").pk))
    yield "revoked key"

    page.goto(admin_url("frappe_tokens_apirequestlog_changelist"))
    yield "request log"
    row = ApiRequestLog.objects.filter(outcome="insufficient_scope").latest("pk")
    page.goto(admin_url("frappe_tokens_apirequestlog_change", row.pk))
    yield "request"

    consumer = EventConsumer.objects.get()
    page.goto(admin_url("events_eventconsumer_change", consumer.pk))
    open_section(page, "API Access")
    yield "source"
    application = get_application_model().objects.get(client_id=oauth.SERVICE)
    page.goto(admin_url("oauth2_provider_application_change", application.pk))
    yield "application"


def users_pages(page, site):
    """Open all pages and dialogs of the users, one by one, and yield their names."""
    page.goto(reverse("frappe_tokens_account:keys"))
    page.click("summary")
    yield "own keys"
    page.click(NEW)
    expect(page.locator("#id_name")).to_be_focused()
    page.fill("#id_name", "deploy")
    page.click(SUBMIT)
    expect(page.locator("dialog .errorlist")).to_be_visible()
    yield "new key dialog"
    page.fill("#id_name", "backup")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    yield "own secret dialog"
    page.click(CLOSE)
    deploy = ApiKey.objects.get(name="deploy")
    page.goto(reverse("frappe_tokens_account:new"))
    yield "new key"
    for name in ("edit", "rotate", "revoke"):
        page.goto(reverse(f"frappe_tokens_account:{name}", args=[deploy.pk]))
        yield f"{name} own key"

    address = oauth.public_client(site).address
    page.goto(address)
    yield "consent"
    page.goto(address.replace("client_id=", "client_id=un"))
    yield "bad request for access"
