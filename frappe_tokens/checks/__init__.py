"""System checks: what is wrong, or dangerous, in how a project is set up.

Their ids are stable (``SILENCED_SYSTEM_CHECKS``). ``manage.py check --tag frappe_tokens`` runs them
alone; with ``--deploy`` also those about a deployment. The one that asks the database runs with
``manage.py check --database default``, and before migrations. A check never raises: what keeps it
from looking is for somebody else to report.
"""

from __future__ import annotations

from django.core import checks
from django.core.checks import Tags

from . import authentication, deployment, middleware, request_log, settings, stored

TAG = "frappe_tokens"


def register() -> None:
    """Register all checks. Again changes nothing."""
    for check in (
        settings.check_settings,
        settings.check_sources,
        request_log.check_sink,
        request_log.check_middleware,
        request_log.check_autocommit,
    ):
        checks.register(check, TAG)
    checks.register(authentication.check_order, TAG, Tags.security)
    checks.register(middleware.check_middleware_order, TAG, Tags.security)
    for check in (
        authentication.check_oauth2,
        deployment.check_shared_cache,
        deployment.check_counting_cache,
        deployment.check_https,
        deployment.check_failure_limit,
        deployment.check_proxies,
    ):
        checks.register(check, TAG, Tags.security, deploy=True)
    # Without our own tag: whoever names that has not asked for queries.
    checks.register(stored.check_secrets, Tags.database)
