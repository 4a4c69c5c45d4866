"""The pages where users generate, rotate and revoke their own keys.

``path("account/api-keys/", include("frappe_tokens.account.urls"))``
"""
