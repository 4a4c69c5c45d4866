"""What the errors of PostgreSQL and MariaDB mean for a statement that was prepared."""

from __future__ import annotations

import pytest

from frappe_tokens.server_dialects import MariaDB, Meaning, PostgreSQL

MARIADB = {
    Meaning.OF_THE_MOMENT: [
        "",  # the drivers have errors without a number
        "1020",  # the record has changed since the last read
        "1037",  # out of memory
        "1038",  # out of memory to sort
        "1041",  # out of resources
        "1047",  # Galera: not ready
        "1053",  # shutting down
        "1100",  # other tables are locked
        "1205",  # waited for a lock too long
        "1206",  # too many locks
        "1213",  # deadlock
        "1226",  # the user's max_queries_per_hour
        "1317",  # interrupted
        "1399",  # not in this state of an XA transaction
        "1412",  # the table has changed since the transaction began
        "1927",  # killed
        "1969",  # max_statement_time
        "2000",
        "2006",  # gone away
        "2013",  # lost
        "2999",
    ],
    Meaning.OF_THE_TABLE: [
        "1054",  # no such column
        "1142",  # no right to the table
        "1143",  # no right to the column
        "1146",  # no such table
        "1356",  # a view of what is not there
    ],
    Meaning.IS_LOST: [
        "1064",  # a syntax that is not known
        "1243",  # no such statement
        "1461",  # max_prepared_stmt_count
        "1690",  # in another database
        "1999",
        "3000",
    ],
}

POSTGRESQL = {
    Meaning.OF_THE_MOMENT: [
        "",  # the connection is lost
        "40001",  # serialization failure
        "53300",  # too many connections
        "55P03",  # waited for a lock too long
        "57014",  # cancelled
        "57P01",  # shutting down
    ],
    Meaning.OF_THE_TABLE: [
        "42501",  # no right
        "42703",  # no such column
        "42P01",  # no such table
    ],
    Meaning.IS_THERE: ["42P05"],
    Meaning.IS_LOST: [
        "0A000",  # its plan must not change the type of its result
        "26000",  # no such statement
        "42601",  # a syntax that is not known
    ],
}


@pytest.mark.parametrize(
    ("code", "meaning"), [(code, meaning) for meaning, codes in MARIADB.items() for code in codes]
)
def test_errors_of_mariadb(code: str, meaning: Meaning) -> None:
    assert MariaDB("", "", "").meaning(code) is meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [(code, meaning) for meaning, codes in POSTGRESQL.items() for code in codes],
)
def test_errors_of_postgresql(code: str, meaning: Meaning) -> None:
    assert PostgreSQL("", "").meaning(code) is meaning
