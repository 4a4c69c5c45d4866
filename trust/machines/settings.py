"""The settings of the documentation for several machines.

In the environment, ``TRUST_MACHINES`` has the addresses as JSON, and ``TRUST_CACHE`` the alias for
``FRAPPE_TOKENS["CACHE"]``.
"""

import json
import os

from trust.faults.settings import *  # noqa: F403 - all settings that this module doesn't replace
from trust.faults.settings import FRAPPE_TOKENS

from .documented import caches, databases

ROOT_URLCONF = "trust.machines.urls"

machines = json.loads(os.environ["TRUST_MACHINES"])
DATABASES = databases(machines["postgresql"])
DATABASE_ROUTERS = ["trust.machines.documented.ReplicaRouter"]
CACHES = caches(machines["sentinels"])

# nginx sets it; requests that don't come from nginx have the address of their connection.
FRAPPE_TOKENS = {**FRAPPE_TOKENS, "CLIENT_ADDRESS_HEADER": "X-Real-IP"}
