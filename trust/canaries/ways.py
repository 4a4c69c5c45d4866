"""All ways in which a secret comes into the site, or is made there."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .driver import Answer, Site
from .planted import METHODS, Planted, generate_page

Send = Callable[[str], Answer]

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@dataclass(frozen=True, slots=True)
class Way:
    """``send`` takes the fault. ``gives``: its good answer has a secret, as promised."""

    name: str
    send: Send
    prepare: Callable[[], object] = lambda: None
    gives: bool = False
    server: str = "sync"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def ways(site: Site, planted: Planted) -> list[Way]:
    return [*_authentication(site, planted), *_management(site, planted), *_oauth(site, planted)]


def _authentication(site: Site, it: Planted) -> list[Way]:
    headers = {
        "token": f"token {it.pair}",
        "unknown secret": f"token {it.pair.partition(':')[0]}:{it.unknown}",
        "access token": f"Bearer {it.access_token}",
        "Basic": basic(*it.pair.split(":")),
        "Bearer": f"Bearer {it.pair}",
        "old secret": f"token {it.old_pair}",
        "unknown token": f"Bearer {it.unknown_token}",
    }

    def ask(path: str, header: str, fault: str, **more: str) -> Answer:
        return site.send("GET", path, {"Authorization": header, **more}, fault=fault)

    found = []
    for name, header in headers.items():
        found.append(Way(f"DRF, {name}", partial(ask, "/trust/drf/", header)))
    for name in ("token", "unknown secret", "access token"):
        for kind, path in (("plain", "/trust/plain/"), ("Ninja", "/trust/ninja/sync/")):
            found.append(Way(f"{kind}, {name}", partial(ask, path, headers[name])))
        for kind, path, more in (
            ("async", "/trust/async/", {}),
            ("async Ninja", "/trust/ninja/async/", {}),
            ("async DRF", "/trust/drf/", {}),
            ("Channels", "/trust/socket/", UPGRADE),
        ):
            send = partial(ask, path, headers[name], **more)
            found.append(Way(f"{kind}, {name}", send, server="async"))
    who = "/api/method/frappe.auth.get_logged_user"
    return [
        *found,
        Way("RPC, token", partial(ask, who, headers["token"])),
        Way("no such page", partial(ask, "/missing/", headers["token"])),
        Way("another scheme", partial(ask, "/trust/plain/", f"Other {it.unknown_token}")),
    ]


def _management(site: Site, it: Planted) -> list[Way]:
    manager = {"Authorization": f"token {it.manager_pair}"}
    key, bob = it.rotated_key, it.users["bob"].pk
    generate = "/api/method/frappe.core.doctype.user.user.generate_keys"

    def rest(path: str, content: object, fault: str) -> Answer:
        return site.send("POST", path, manager, content=content, fault=fault)

    def rotate_itself(fault: str) -> Answer:
        header = {"Authorization": f"token {it.self_pair}"}
        return site.send("POST", "/api/keys/self/rotate/", header, content={}, fault=fault)

    def leaked(fault: str, **sent: object) -> Answer:
        return site.send("POST", "/api/keys/revoke-leaked/", fault=fault, **sent)

    def page(path: str, form: Callable[[], dict[str, object]], user: str, fault: str) -> Answer:
        return site.send("POST", path, form=form(), user=user, fault=fault)

    def versioned(path: str, user: str, **fields: object) -> Callable[[], dict[str, object]]:
        return lambda: {"version": it.version_on(path, user), **fields}

    in_admin = generate_page(it.users["bob"])
    action = {"action": "generate_keys", "_selected_action": bob}
    new, again = "/account/api-keys/new/", f"/account/api-keys/{it.own_key.pk}/rotate/"
    add = "/admin/frappe_tokens/apikey/add/"
    for_bob = {"user": "bob", "name": "new"}
    forget = it.forget_keys
    return [
        Way("RPC, generate", partial(rest, generate, {"user": "bob"}), gives=True),
        Way("REST, make", partial(rest, "/api/keys/", for_bob), forget, True),
        Way("REST, rotate", partial(rest, f"/api/keys/{key}/rotate/", {"grace": 60}), gives=True),
        Way("REST, rotate itself", rotate_itself, it.restore_self, True),
        Way("leaked, pair", lambda f: leaked(f, content={"token": it.leaked}), it.restore_leaked),
        Way("leaked, form", lambda f: leaked(f, form={"token": it.leaked}), it.restore_leaked),
        Way("leaked, alone", lambda f: leaked(f, content={"token": it.alone}), it.restore_alone),
        Way("leaked, unknown", lambda f: leaked(f, content={"token": it.unknown_pair})),
        Way(
            "admin, user's page",
            partial(page, in_admin, versioned(in_admin, "root", grace="0"), "root"),
            gives=True,
        ),
        Way(
            "admin, action",
            partial(page, "/admin/auth/user/", lambda: it.action_form(action), "root"),
            gives=True,
        ),
        Way(
            "admin, new key",
            partial(page, add, lambda: {"user": bob, "name": "new"}, "root"),
            forget,
            True,
        ),
        Way(
            "account, new",
            partial(page, new, versioned(new, "bob", name="new"), "bob"),
            forget,
            True,
        ),
        Way(
            "account, rotate",
            partial(page, again, versioned(again, "bob", grace="0"), "bob"),
            gives=True,
        ),
    ]


def _oauth(site: Site, it: Planted) -> list[Way]:
    def use(
        name: str,
        form: Callable[[], dict[str, str]],
        *,
        method: str = "get_token",
        header: str = "",
        **more: Any,
    ) -> Way:
        def post(fault: str) -> Answer:
            headers = {"Authorization": header} if header else {}
            return site.send("POST", METHODS + method, headers, form=form(), fault=fault)

        return Way(f"OAuth, {name}", post, **more)

    def consent(fault: str) -> Answer:
        form = {**it.authorization, "allow": "true"}
        return site.send("POST", METHODS + "authorize", form=form, user="bob", fault=fault)

    client = {"client_id": it.client_id, "client_secret": it.client_secret}
    as_client = basic(it.client_id, it.client_secret)
    grant = {"grant_type": "client_credentials"}
    wrong = {**client, "client_secret": it.unknown_token, **grant}
    metadata = {
        "client_name": "Made",
        "redirect_uris": ["https://app.example.com/"],
        "token_endpoint_auth_method": "client_secret_post",
    }

    def register(fault: str) -> Answer:
        return site.send("POST", METHODS + "register_client", content=metadata, fault=fault)

    def profile(fault: str) -> Answer:
        header = {"Authorization": f"Bearer {it.access_token}"}
        return site.send("GET", METHODS + "openid_profile", header, fault=fault)

    return [
        Way("OAuth, authorize", consent, gives=True),
        use("code", lambda: it.code_form, prepare=it.get_code, gives=True),
        use("refresh", lambda: it.refresh_form, prepare=it.get_tokens, gives=True),
        use("client, body", lambda: {**client, **grant}, gives=True),
        use("client, Basic", lambda: grant, header=as_client, gives=True),
        use("wrong client secret", lambda: wrong),
        use("revoke", lambda: it.revoke_form, method="revoke_token", prepare=it.get_tokens),
        use(
            "revoke by client",
            lambda: {**it.revoke_form, "client_id": "todo-app"},
            method="revoke_token",
            prepare=it.get_tokens,
        ),
        use(
            "introspect",
            lambda: {"token": it.access_token},
            method="introspect_token",
            header=as_client,
        ),
        use(
            "introspect, body",
            lambda: {"token": it.access_token, **client},
            method="introspect_token",
        ),
        Way("OAuth, register", register, gives=True),
        Way("OAuth, profile", profile),
    ]
