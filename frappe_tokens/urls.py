"""``path("api/", include("frappe_tokens.urls"))``; each path with or without a trailing slash."""

import re

from django.urls import re_path

from .api import key_actions, keys, own_key, rpc

app_name = "frappe_tokens"

# Calls, their views, and the names of their URLs. Calls without a name are aliases, and not in the
# OpenAPI schema.
CALLS = [
    ("ping", rpc.Ping, "ping"),
    ("version", rpc.Version, "version"),
    ("frappe.auth.get_logged_user", rpc.GetLoggedUser, "get_logged_user"),
    ("frappe.core.api.auth.get_logged_user", rpc.GetLoggedUser, None),
    ("frappe.core.doctype.user.user.generate_keys", rpc.GenerateKeys, "generate_keys"),
    ("frappe.core.doctype.user.user", rpc.GenerateKeys, None),
    ("frappe.core.api.auth.generate_api_keys", rpc.GenerateKeys, None),
]

KEY_ACTIONS = {
    "rotate": key_actions.RotateKey,
    "disable": key_actions.DisableKey,
    "enable": key_actions.EnableKey,
    "usage": key_actions.KeyUsage,
}

urlpatterns = [
    *(
        re_path(
            rf"^v{version}/method/{re.escape(call)}/?$",
            view.as_view(frappe_version=version, schema=None),
        )
        for version in (1, 2)
        for call, view, _name in CALLS
    ),
    *(
        re_path(
            rf"^method/{re.escape(call)}/?$",
            view.as_view(**({} if name else {"schema": None})),
            name=name,
        )
        for call, view, name in CALLS
    ),
    re_path(r"^keys/?$", keys.KeyList.as_view(), name="keys"),
    re_path(r"^keys/revoke-leaked/?$", key_actions.RevokeLeaked.as_view(), name="revoke_leaked"),
    # Before the keys: one may have been imported as "self".
    re_path(r"^keys/self/?$", own_key.OwnKey.as_view(), name="own_key"),
    re_path(r"^keys/self/rotate/?$", own_key.RotateOwnKey.as_view(), name="rotate_own_key"),
    # Imported keys may contain a slash, and a key that doesn't exist even a line break. The longer
    # paths come first.
    *(
        re_path(rf"^keys/(?P<api_key>[\s\S]+?)/{action}/?$", view.as_view(), name=f"{action}_key")
        for action, view in KEY_ACTIONS.items()
    ),
    re_path(r"^keys/(?P<api_key>[\s\S]+?)/?$", keys.KeyDetail.as_view(), name="key"),
]
