"""SQL statements and transactions on one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from synapse_agent.storage.disk import is_disk_full

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Values = Mapping[str, object]
Row = dict[str, Any]
T = TypeVar("T")


def values_of(record: DataclassInstance) -> Row:
    """Return the fields of a record by name; unlike `dataclasses.asdict`, without copies."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


class Statements:
    """Runs statements; each is its own transaction unless it runs inside `transaction()`.

    A statement that fails because of a full disk is repeated while `make_room` frees space.
    """

    def __init__(self, connection: sqlite3.Connection, *, make_room: Callable[[], bool] = lambda: False) -> None:
        self._connection = connection
        self._make_room = make_room

    def rows(self, statement: str, values: Values | None = None) -> Iterator[Row]:
        """Yield the rows of a query."""
        return iter(self._connection.execute(statement, values or {}))

    def row(self, statement: str, values: Values | None = None) -> Row | None:
        """Return the first row of a query."""
        row: Row | None = self._connection.execute(statement, values or {}).fetchone()
        return row

    def write(self, statement: str, values: Values | None = None) -> None:
        """Run a statement that changes data."""
        self._with_room(lambda: self._connection.execute(statement, values or {}))

    def write_each(self, statement: str, values: Sequence[Values]) -> None:
        """Run one statement for each of these values, all in one transaction."""
        self.transaction(lambda: self._connection.executemany(statement, values))

    def insert(self, table: str, values: Values) -> Row:
        """Insert a row and return it, with defaults and ID."""
        columns, marks = ", ".join(values), ", ".join(f":{column}" for column in values)
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING *"
        rows: list[Row] = self._with_room(lambda: self._connection.execute(statement, values).fetchall())
        return rows[0]

    def transaction(self, work: Callable[[], T]) -> T:
        """Run `work` in one transaction: everything is written, or nothing. It may be called again."""
        return self._with_room(lambda: self._at_once(work))

    def _at_once(self, work: Callable[[], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            return work()

    def _with_room(self, work: Callable[[], T]) -> T:
        if self._connection.in_transaction:  # which is repeated as a whole
            return work()
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if not is_disk_full(error) or not self._make_room():
                    raise
