"""``path("api/", include("frappe_tokens.urls"))``; each path with or without a trailing slash."""

import re

from django.urls import re_path

from .api import key_actions, keys, rpc

app_name = "frappe_tokens"

# Frappe's documented URL comes last, so that it is the one that is reversed.
GENERATE_KEYS = [
    "frappe.core.api.auth.generate_api_keys",
    "frappe.core.doctype.user.user",
    "frappe.core.doctype.user.user.generate_keys",
]

CALLS = {
    "ping": rpc.Ping,
    "version": rpc.Version,
    "frappe.core.api.auth.get_logged_user": rpc.GetLoggedUser,
    "frappe.auth.get_logged_user": rpc.GetLoggedUser,
    **dict.fromkeys(GENERATE_KEYS, rpc.GenerateKeys),
}
# In the OpenAPI schema.
NAMES = {
    "frappe.auth.get_logged_user": "get_logged_user",
    **dict.fromkeys(GENERATE_KEYS, "generate_keys"),
}

KEY_ACTIONS = {
    "rotate": key_actions.RotateKey,
    "usage": key_actions.KeyUsage,
}

urlpatterns = [
    *(
        # Without a name in the schema: the same again, or what every site of Frappe has.
        re_path(
            rf"^v{version}/method/{re.escape(call)}/?$",
            view.as_view(frappe_version=version, schema=None),
        )
        for version in (1, 2)
        for call, view in CALLS.items()
    ),
    *(
        re_path(
            rf"^method/{re.escape(call)}/?$",
            view.as_view(**({} if call in NAMES else {"schema": None})),
            name=NAMES.get(call),
        )
        for call, view in CALLS.items()
    ),
    re_path(r"^keys/?$", keys.KeyList.as_view(), name="keys"),
    re_path(r"^keys/revoke-leaked/?$", key_actions.RevokeLeaked.as_view(), name="revoke_leaked"),
    # Imported keys may contain a slash, and anything else that is not a key even a line break. The
    # longer paths come first.
    *(
        re_path(rf"^keys/(?P<api_key>[\s\S]+?)/{action}/?$", view.as_view(), name=f"{action}_key")
        for action, view in KEY_ACTIONS.items()
    ),
    re_path(r"^keys/(?P<api_key>[\s\S]+?)/?$", keys.KeyDetail.as_view(), name="key"),
]
