"""Fills the site's database, and prints the credentials as JSON.

In a process of its own, because a process has one set of settings.
"""

import json
import os
import sys

# With fewer people, a key that is off would be asked for more often than FAILURE_LIMIT allows.
PEOPLE, KEYS, WRONG = 48, 4, 200


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "trust.machines.settings"
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission
    from django.core.management import call_command

    from frappe_tokens import crypto
    from frappe_tokens.keys import generate_keys

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    manager = users.create_user("manager", is_staff=True)
    manager.user_permissions.add(Permission.objects.using("default").get(codename="generate_keys"))
    people = [users.create_user(f"user{number}") for number in range(PEOPLE)]
    tokens = {
        user.username: [generate_keys(user, name=f"old {n}").token for n in range(KEYS)]
        for user in people
    }
    existing = [token.partition(":")[0] for own in tokens.values() for token in own]
    secrets = [crypto.generate_api_secret() for _ in range(WRONG)]
    json.dump(
        {
            "manager": generate_keys(manager).token,
            "people": tokens,
            "wrong": [f"{existing[n % len(existing)]}:{each}" for n, each in enumerate(secrets)],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
