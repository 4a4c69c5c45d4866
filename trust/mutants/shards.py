"""The parts into which the run is divided, each with its tests. Each can be run alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .making import ROOT


@dataclass(frozen=True, slots=True)
class Shard:
    """Modules, and the files and folders with the tests that are tried on their mutants."""

    paths: list[str]
    tests: list[str]


def _folder(name: str, first: str = "a", last: str = "z") -> list[str]:
    """Return the modules whose names begin with the letters from ``first`` to ``last``."""
    return sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "frappe_tokens" / name).glob("*.py")
        if path.name != "__init__.py" and first <= path.name[0] <= last
    )


def _tests(*names: str) -> list[str]:
    """Return the files that match any of the ``names``, each of which must have some."""
    found: set[Path] = set()
    for name in names:
        matching = [*(ROOT / "tests").glob(name)]
        if not matching:
            raise LookupError(f"No file in tests is called {name}.")
        found.update(matching)
    return sorted(str(path.relative_to(ROOT)) for path in found)


_PURE = _tests(
    *("test_credentials.py", "test_crypto.py", "test_networks.py", "test_policy.py"),
    *("test_rates.py", "test_redaction.py", "test_scopes.py", "plain/test_addresses.py"),
    *("properties/test_headers.py", "properties/test_policies.py", "properties/test_secrets.py"),
    "properties/test_texts.py",
)
_HEADERS = [*_PURE, *_tests("plain/test_middleware*.py", "rest/test_leaked*.py")]
_REQUESTS = _tests(
    *("test_auth*.py", "test_browsers.py", "test_clock.py", "test_database_away.py"),
    *("test_disabling.py", "test_exception_handlers.py", "test_key_cache.py"),
    *("test_limiter.py", "test_logs.py"),
    *("test_narrow_credentials.py", "test_networks.py", "test_permissions.py", "test_policy.py"),
    *("test_reading_by_post.py", "test_replays.py", "test_scopes.py", "test_timeouts.py"),
    *("test_unknown_credentials.py", "test_verification.py", "test_audit.py", "test_outages.py"),
    *("contrib/test_*.py", "oauth/test_access_tokens.py", "oauth/test_challenges.py"),
    *("oauth/test_metadata*.py", "plain/test_*.py", "test_declared_scopes.py"),
    *("request_log/test_entries.py", "test_lost_connections.py", "rest/test_own_key.py"),
    *("rest/test_wire.py", "rest/test_leaked.py", "sources/test_*.py"),
    *("properties/test_headers.py", "properties/test_policies.py"),
)
_LOOKUPS = _tests(
    *("test_auth*.py", "test_cach*.py", "test_clock.py", "test_database_away.py"),
    "test_databases.py",
    *("test_driver_prepared.py", "test_key_cache*.py"),
    *("test_lookup.py", "test_lost_connections.py", "test_models.py", "test_replica.py"),
    *("test_statement.py", "test_timeouts.py", "test_verification.py"),
    *("test_replays.py", "test_rotation.py", "plain/test_without_threads.py", "sources/test_*.py"),
)
_MANAGING = _tests(
    *("test_announcements.py", "test_audit.py", "test_bodies.py", "test_bulk.py"),
    *("test_change*.py", "test_databases.py", "test_deadlocks.py"),
    *("test_declared_scopes.py", "test_deeds.py"),
    *("test_deleting_users.py", "test_descriptions.py", "test_disabling.py"),
    *("test_escalation.py", "test_key_cache.py", "test_keys*.py", "test_lifetimes.py"),
    "test_locking.py",
    *("test_mail.py", "test_narrow_credentials.py", "test_number.py", "test_pairs.py"),
    *("test_replays.py", "test_replica.py", "test_rights.py", "test_rotation.py"),
    *("test_self_service.py", "test_sources_generation.py", "test_team_leads.py"),
    *("test_unknown_credentials.py", "contrib/test_other_packages.py"),
    *("test_moments.py", "commands/test_*.py", "rest/test_*.py", "sources/test_*.py"),
    *("admin/test_*.py", "account/test_*.py", "oauth/test_application*.py"),
    "oauth/test_replica.py",
    *("properties/test_import.py", "properties/test_texts.py"),
)

# Modules that differ by the user model, with the tests that are tried with another one if a mutant
# survives.
CUSTOM_USER = "tests.custom_user.settings"
WITH_CUSTOM_USER = dict.fromkeys(
    ["frappe_tokens/keys/rights.py", "frappe_tokens/lookup/invalidation.py"],
    _tests("custom_user/cases/test_*.py"),
)

# Modules that differ by database, with the tests that are tried on PostgreSQL if a mutant survives.
ON_POSTGRESQL = {
    "frappe_tokens/lookup/driver_prepared.py": _tests(
        "test_driver_prepared.py", "test_lost_con*.py"
    ),
    "frappe_tokens/lookup/statement.py": _tests("test_statement.py", "test_driver_prepared.py"),
    "frappe_tokens/verification/decision.py": _tests("test_lost_con*.py"),
    "frappe_tokens/keys/deletion.py": _tests("test_deleting_users.py", "test_deadlocks.py"),
    "frappe_tokens/keys/locking.py": _tests("test_locking.py", "test_parallel.py"),
    "frappe_tokens/keys/number.py": _tests("test_number.py"),
    "frappe_tokens/keys/repeating.py": _tests("test_locking.py", "test_parallel.py"),
}

SHARDS = {
    "credentials": Shard(["frappe_tokens/credentials.py"], _HEADERS),
    "crypto": Shard(["frappe_tokens/crypto.py"], _PURE),
    "policy": Shard(["frappe_tokens/policy.py"], _PURE),
    "addresses": Shard(["frappe_tokens/addresses.py"], _PURE),
    "verification": Shard(_folder("verification"), _REQUESTS),
    "lookup": Shard(_folder("lookup"), _LOOKUPS),
    "keys-a-i": Shard(_folder("keys", "a", "i"), _MANAGING),
    "keys-j-z": Shard(_folder("keys", "j", "z"), _MANAGING),
}
