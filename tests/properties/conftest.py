"""Properties, which Hypothesis tries to refute with made-up input.

It is the same input in every run, unless ``FUZZING`` multiplies it.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZING", "1"))

settings.register_profile(
    "suite",
    max_examples=50 * TIMES,
    derandomize=TIMES == 1,
    # What failed once fails again, and no file is left in the project.
    database=None,
    deadline=None,
    # Fixtures are for all examples of a test. Those that write roll back.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("suite")
