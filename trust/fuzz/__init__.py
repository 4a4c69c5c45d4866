"""Input that a fuzzer makes up, guided by which code it reaches."""

HEADERS = (
    "Whatever its headers are, a request runs as the key whose token it has, is refused with the "
    "documented code, or has no credential of ours"
)
IMPORTS = (
    "A file for `import_keys` is imported as it is written; or nothing is, and each problem names "
    "its line and no secret"
)
