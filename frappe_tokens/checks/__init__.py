"""System checks of a project's configuration.

Their ids are stable (``SILENCED_SYSTEM_CHECKS``). ``manage.py check --tag frappe_tokens`` runs only
these; with ``--deploy`` also those about a deployment. The one that queries the database runs with
``manage.py check --database default``, and before migrations. A check never raises an exception,
because other checks report what prevents it.
"""

from __future__ import annotations

from django.core import checks
from django.core.checks import Tags

from . import authentication_classes, configuration, deployment, scopes

TAG = "frappe_tokens"


def register() -> None:
    checks.register(configuration.check_settings, TAG)
    checks.register(configuration.check_client_address, TAG, Tags.security)
    checks.register(configuration.check_sources, TAG)
    checks.register(configuration.check_sink, TAG)
    checks.register(configuration.check_request_log, TAG)
    checks.register(configuration.check_autocommit, TAG)
    checks.register(configuration.check_authentication, TAG, Tags.security)
    checks.register(authentication_classes.check_order, TAG, Tags.security)
    checks.register(authentication_classes.check_ninja, TAG, Tags.security)
    checks.register(authentication_classes.check_oauth2, TAG, Tags.security, deploy=True)
    checks.register(scopes.check_scopes, TAG)
    checks.register(deployment.check_cache, TAG, Tags.security, deploy=True)
    checks.register(deployment.check_replicated_cache, TAG, Tags.security, deploy=True)
    checks.register(deployment.check_https, TAG, Tags.security, deploy=True)
    checks.register(deployment.check_failure_limit, TAG, Tags.security, deploy=True)
    checks.register(deployment.check_proxies, TAG, Tags.security, deploy=True)
    checks.register(deployment.check_retention, TAG, deploy=True)
    # Without our tag, because "check --tag frappe_tokens" must not query.
    checks.register(deployment.check_secrets, Tags.database)
