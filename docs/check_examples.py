"""Type-checks the Python examples of all pages: what they import exists, and takes these arguments.

Examples may use names of your own project, and go on where the one above them ends.
"""

import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

DOCS = Path(__file__).resolve().parent
OPTIONS = [
    *("--ignore-missing-imports", "--follow-imports=silent", "--no-error-summary"),
    *("--no-incremental", "--config-file=", "--hide-error-context"),
    # Names of your own project; values that were in the settings before.
    *("--disable-error-code=name-defined", "--disable-error-code=import-untyped"),
    # Django's fields, and the name of an example above.
    *("--disable-error-code=var-annotated", "--disable-error-code=has-type"),
]
# What mypy can't know: the user model of the settings, and that Channels routes by Django's path().
UNKNOWABLE = re.compile('AbstractBaseUser|to "path" has incompatible type "TokenAuthMiddleware"')


def main():
    with tempfile.TemporaryDirectory() as folder:
        for page in sorted(DOCS.rglob("*.md")):
            for number, example in enumerate(examples(page.read_text()), 1):
                name = "_".join(page.relative_to(DOCS).with_suffix("").parts).replace("-", "_")
                (Path(folder) / f"{name}_{number}.py").write_text(example)
        files = sorted(map(str, Path(folder).iterdir()))
        done = subprocess.run(
            [sys.executable, "-m", "mypy", *OPTIONS, *files], capture_output=True, text=True
        )
    lines = done.stdout.replace(f"{folder}/", "").splitlines()
    errors = [line for line in lines if ": error: " in line and not UNKNOWABLE.search(line)]
    print(*errors, done.stderr, sep="\n", end="")
    print(f"{len(files)} examples have been type-checked, {len(errors)} errors found.")
    return 1 if errors or done.stderr else 0


def examples(text):
    found = re.findall(r"^ *```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(example) for example in found]


if __name__ == "__main__":
    sys.exit(main())
