"""What the processes of a run have in common."""

WARM_UP = "trust/mutants/test_warm_up.py::test_database"

# How a child that tries a mutant ends. If a signal ends it, the mutant takes too long or too much.
SURVIVED, KILLED, MUST_IMPORT, FAILED = 0, 1, 3, 9
