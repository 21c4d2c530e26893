"""SQL statements and transactions on one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Values = Mapping[str, object]
Row = dict[str, Any]


class Statements:
    """Runs statements; each one is a transaction of its own unless it stands in `transaction()`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Values | None = None) -> Iterator[Row]:
        """Yield what a query finds."""
        return iter(self._connection.execute(statement, values or {}))

    def row(self, statement: str, values: Values | None = None) -> Row | None:
        """Return the first row that a query finds."""
        row: Row | None = self._connection.execute(statement, values or {}).fetchone()
        return row

    def write(self, statement: str, values: Values | None = None) -> None:
        """Run a statement that changes something."""
        self._connection.execute(statement, values or {})

    def write_each(self, statement: str, values: Iterable[Values]) -> None:
        """Run one statement for each of these values, all in one transaction."""
        with self.transaction():
            self._connection.executemany(statement, values)

    def insert(self, table: str, values: Values) -> Row:
        """Insert a row and return it as it is now, defaults and ID included."""
        columns, marks = ", ".join(values), ", ".join(f":{column}" for column in values)
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING *"
        rows: list[Row] = self._connection.execute(statement, values).fetchall()
        return rows[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all that happens inside one transaction: everything is written, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            yield
