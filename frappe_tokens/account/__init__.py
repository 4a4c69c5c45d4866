"""The page where users make, rotate and revoke their own keys.

``path("account/api-keys/", include("frappe_tokens.account.urls"))``
"""
