"""The app's own migrations, and after them those that a next version might have.

Any of the app's own that is newer than ``BASE`` is tried like these.
"""

from pathlib import Path

import frappe_tokens.migrations

__path__ = [*__path__, *frappe_tokens.migrations.__path__]

LAST = max(
    file.stem
    for folder in frappe_tokens.migrations.__path__
    for file in Path(folder).glob("[0-9]*.py")
)
