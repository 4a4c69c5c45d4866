"""``path("api/", include("frappe_tokens.urls"))``; each path with or without a trailing slash."""

from django.urls import re_path

from .api import rpc

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
]
