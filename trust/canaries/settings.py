"""The example project's settings, with everything that records errors, and with faults."""

import os

import django

from testproject.settings import *  # noqa: F403 - settings are modules, and build on each other so
from testproject.settings import FRAPPE_TOKENS, INSTALLED_APPS, MIDDLEWARE, OAUTH2_PROVIDER

DIRECTORY = os.environ["TRUST_DIR"]

ROOT_URLCONF = "trust.canaries.site"
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ADMINS = ["root@example.com" if django.VERSION >= (6, 0) else ("Root", "root@example.com")]
MAILERS = {"default": {"BACKEND": "trust.canaries.outlets.Mails"}}
if django.VERSION < (6, 1):
    EMAIL_BACKEND = MAILERS["default"]["BACKEND"]
CACHES = {"default": {"BACKEND": "trust.canaries.outlets.Files", "LOCATION": f"{DIRECTORY}/cache"}}
if REDIS_URL := os.environ.get("REDIS_URL"):
    CACHES["default"] = {
        "BACKEND": "trust.canaries.outlets.Redis",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": os.environ["TRUST_PREFIX"],
    }
INSTALLED_APPS = [*INSTALLED_APPS, "trust.canaries"]
MIDDLEWARE = [
    "trust.canaries.faults.faults",
    *MIDDLEWARE,
    "frappe_tokens.middleware.TokenAuthenticationMiddleware",
]
FRAPPE_TOKENS = {
    **FRAPPE_TOKENS,
    "REQUEST_LOG": "durable",
    "REQUEST_LOG_LIMIT": None,
    "CACHE": "default",
    "FAILURE_LIMIT": "1000000/minute",
    "OAUTH_REGISTRATION_LIMIT": None,
}
OAUTH2_PROVIDER = {
    **OAUTH2_PROVIDER,
    "CLIENT_SECRET_GENERATOR_CLASS": "trust.canaries.kinds.ClientSecrets",
    "ACCESS_TOKEN_GENERATOR": "trust.canaries.kinds.access_token",
    "REFRESH_TOKEN_GENERATOR": "trust.canaries.kinds.refresh_token",
    "REFRESH_TOKEN_REUSE_PROTECTION": False,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "log": {"()": "trust.canaries.outlets.WithAttributes"},
        "variables": {"()": "trust.canaries.outlets.Variables"},
    },
    "handlers": {
        **{
            name: {
                "class": "logging.FileHandler",
                "filename": f"{DIRECTORY}/{name}",
                "formatter": name,
            }
            for name in ("log", "variables")
        },
        "mail": {
            "class": "django.utils.log.AdminEmailHandler",
            "level": "ERROR",
            "include_html": True,
        },
    },
    "root": {"level": "DEBUG", "handlers": ["log", "variables", "mail"]},
    "loggers": {
        name: {"level": "DEBUG", "handlers": [], "propagate": True}
        for name in ("django", "django.server", "django.db.backends", "frappe_tokens")
    }
    # With DEBUG, the toolkit logs what it issues, as the threat model says.
    | {name: {"level": "INFO"} for name in ("oauthlib", "oauth2_provider")}
    | {"django.template": {"level": "INFO"}, "urllib3": {"level": "INFO"}},
}
