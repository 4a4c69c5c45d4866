"""Fills the site's database, and prints the credentials as JSON.

In a process of its own, because a process has one set of settings.
"""

import json
import os
import sys

KEYS, VICTIMS, WRONG = 20, 40, 500


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "trust.faults.settings"
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission
    from django.core.management import call_command

    from frappe_tokens import crypto
    from frappe_tokens.keys import generate_keys, revoke

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    manager = users.create_user("manager", is_staff=True)
    manager.user_permissions.add(Permission.objects.get(codename="generate_keys"))
    ada = users.create_user("ada")
    good = [generate_keys(ada, name=f"good {number}") for number in range(KEYS)]
    victims = [generate_keys(ada, name=f"victim {number}") for number in range(VICTIMS)]
    revoked = [generate_keys(ada, name=f"revoked {number}") for number in range(KEYS)]
    for keys in revoked:
        revoke(keys.instance)
    target = generate_keys(ada, name="target")
    secrets = [crypto.generate_api_secret() for _ in range(WRONG)]
    json.dump(
        {
            "manager": [generate_keys(manager).token],
            "target": [target.api_key],
            "good": [keys.token for keys in good],
            "victim": [keys.token for keys in victims],
            "revoked": [keys.token for keys in revoked],
            "wrong": [f"{good[n % KEYS].api_key}:{secret}" for n, secret in enumerate(secrets)],
            "unknown": [f"ftk_{n:016}:{secret}" for n, secret in enumerate(secrets)],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
