"""``path("api/", include("frappe_tokens.urls"))``; each path with or without a trailing slash."""

from django.urls import re_path

from .api import keys, rpc

app_name = "frappe_tokens"

urlpatterns = [
    re_path(
        r"^method/frappe\.auth\.get_logged_user/?$",
        rpc.GetLoggedUser.as_view(),
        name="get_logged_user",
    ),
    re_path(
        r"^method/(?:"
        r"frappe\.core\.doctype\.user\.user(?:\.generate_keys)?"
        r"|frappe\.core\.api\.auth\.generate_api_keys"
        r")/?$",
        rpc.GenerateKeys.as_view(),
        name="generate_keys",
    ),
    re_path(r"^keys/?$", keys.KeyList.as_view(), name="keys"),
    re_path(r"^keys/revoke-leaked/?$", keys.RevokeLeaked.as_view(), name="revoke_leaked"),
    # Imported keys may have a slash. What stands behind a key comes before the key itself.
    re_path(r"^keys/(?P<api_key>.+?)/rotate/?$", keys.RotateKey.as_view(), name="rotate_key"),
    re_path(r"^keys/(?P<api_key>.+?)/?$", keys.KeyDetail.as_view(), name="key"),
]
