"""Fills the site's database, and prints the API keys by kind as JSON.

In a process of its own, because a process has one set of settings.
"""

import json
import os
import random
import sys
from datetime import timedelta

from . import kinds

KEYS = 100  # of each kind, and as many users


def main(seed: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "trust.timing.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.test import override_settings
    from django.utils import timezone

    from frappe_tokens import crypto
    from frappe_tokens.models import ApiKey
    from testproject.events.models import EventConsumer

    rng, now = random.Random(seed), timezone.now()
    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    active, inactive = (
        users.bulk_create(
            users.model(username=f"{name}{number:04}", is_active=name == "user")
            for number in range(KEYS)
        )
        for name in ("user", "gone")
    )
    ended = now - timedelta(days=1)
    changes = {
        kinds.REVOKED: {"revoked_at": ended, "live": None},
        kinds.EXPIRED: {"expires_at": ended},
        kinds.GRACE: {
            "previous_digest": crypto.make_digest("an old secret"),
            "previous_expires_at": now + timedelta(days=1),
        },
    }
    peppers = {kinds.OLDER: settings.FRAPPE_TOKENS["PEPPERS"][1:], kinds.UNPEPPERED: []}
    api_keys, used = {}, []
    for kind in kinds.ALL:
        api_keys[kind.name] = [kind.api_key(rng) for _ in range(KEYS)]
        if not kind.is_known:
            continue
        frappe_tokens = dict(settings.FRAPPE_TOKENS)
        frappe_tokens["PEPPERS"] = peppers.get(kind, frappe_tokens["PEPPERS"])
        model, rows = (EventConsumer if kind.source else ApiKey), []
        owners = inactive if kind is kinds.INACTIVE else active
        with override_settings(FRAPPE_TOKENS=frappe_tokens):
            for api_key, user in zip(api_keys[kind.name], owners, strict=True):
                api_secret = kind.api_secret(rng)
                columns = {"name": kind.name, **changes.get(kind, {})}
                digest = crypto.make_digest(api_secret)
                rows.append(model(api_key=api_key, user=user, secret_digest=digest, **columns))
                if kind is kinds.USED:
                    used.append(f"{api_key}:{api_secret}")
        model._default_manager.bulk_create(rng.sample(rows, KEYS))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    json.dump({"api_keys": api_keys, "used": used}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
