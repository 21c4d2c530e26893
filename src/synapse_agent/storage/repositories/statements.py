"""SQL statements and transactions on one connection."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from synapse_agent.storage.disk import is_disk_full

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Values = Mapping[str, object]
Row = dict[str, Any]
T = TypeVar("T")


def values_of(record: DataclassInstance) -> Row:
    """Return the fields of a record by name; unlike `dataclasses.asdict`, without copies."""
    names, read = _fields(type(record))
    return dict(zip(names, read(record), strict=True))


@cache
def _fields(kind: type[DataclassInstance]) -> tuple[tuple[str, ...], Callable[[object], tuple[Any, ...]]]:
    names = tuple(kind.__dataclass_fields__)
    return names, attrgetter(*names)


class WriteGroup:
    """Changes of the same moment, which are written in one transaction."""

    def __init__(self) -> None:
        self.works: list[Callable[[], object]] = []
        self._is_over = False
        self._error: Exception | None = None

    async def written(self) -> None:
        """Wait until they are on the disk, or raise why they are not."""
        if not self._is_over:
            await asyncio.sleep(0)  # `flush` is the first in the next turn of the event loop
        if self._error is not None:
            raise self._error

    def end(self, error: Exception | None = None) -> None:
        """Record that they are written, or why not."""
        self._error = error
        self._is_over = True


class Statements:
    """Runs statements; each is its own transaction unless it runs inside `transaction()` or `together()`.

    A statement that fails because of a full disk is repeated while `make_room` frees space.
    """

    def __init__(self, connection: sqlite3.Connection, *, make_room: Callable[[], bool] = lambda: False) -> None:
        self._connection = connection
        self._make_room = make_room
        self._is_inside = False
        """Whether a transaction's work is being done."""
        self.unwritten: WriteGroup | None = None
        """What `together()` has changed, and is not committed yet."""

    def rows(self, statement: str, values: Values | None = None) -> Iterator[Row]:
        """Yield the rows of a query."""
        return iter(self._connection.execute(statement, values or {}))

    def row(self, statement: str, values: Values | None = None) -> Row | None:
        """Return the first row of a query."""
        row: Row | None = self._connection.execute(statement, values or {}).fetchone()
        return row

    def write(self, statement: str, values: Values | None = None) -> int:
        """Run a statement that changes data, and return how many rows it has changed."""
        if self._is_inside:
            return self._connection.execute(statement, values or {}).rowcount
        return self._with_room(lambda: self._connection.execute(statement, values or {})).rowcount

    def write_each(self, statement: str, values: Sequence[Values]) -> None:
        """Run one statement for each of these values, all in one transaction."""
        self.transaction(lambda: self._connection.executemany(statement, values))

    def insert(self, table: str, values: Values) -> Row:
        """Insert a row and return it, with defaults and ID."""
        statement = f"{_insertion(table, tuple(values))} RETURNING *"
        rows: list[Row] = self._with_room(lambda: self._connection.execute(statement, values).fetchall())
        return rows[0]

    def add(self, table: str, values: Values) -> int:
        """Insert a row and return its ID: for those that know the rest, since reading it back takes as long again."""
        statement = _insertion(table, tuple(values))
        if self._is_inside:
            return self._connection.execute(statement, values).lastrowid or 0
        return self._with_room(lambda: self._connection.execute(statement, values).lastrowid) or 0

    def transaction(self, work: Callable[[], T]) -> T:
        """Run `work` in one transaction: everything is written, or nothing. It may be called again."""
        return self._with_room(lambda: self._at_once(work))

    def together(self, work: Callable[[], T]) -> T:
        """Do `work` in a transaction that it shares with others of this turn of the event loop, and return its result.

        Queries find what it has changed at once; `unwritten` waits until it is on the disk. If it raises, the
        others are not affected. Without a running event loop it is a transaction of its own.
        """
        if asyncio._get_running_loop() is None:
            return self.transaction(work)
        group = self.unwritten or self._begin_group()
        try:
            result = self._inside(work)
        except Exception:  # noqa: BLE001 - whatever it is, the works before it are done again
            self._write_again(group)
            return self.transaction(work)
        group.works.append(work)
        return result

    def flush(self) -> None:
        """Commit the changes of `together()`; its callers get the error."""
        group, self.unwritten = self.unwritten, None
        if group is None:
            return
        try:
            self._connection.commit()
        except sqlite3.Error:
            self._write_again(group)
        else:
            group.end()

    def _begin_group(self) -> WriteGroup:
        self._with_room(lambda: self._connection.execute("BEGIN IMMEDIATE"))
        group = self.unwritten = WriteGroup()
        asyncio.get_running_loop().call_soon(self.flush)
        return group

    def _write_again(self, group: WriteGroup) -> None:
        """Repeat the works of a group that failed, in the same order, so that rows get the same IDs."""
        self.unwritten = None
        self._connection.rollback()
        try:
            self.transaction(lambda: [work() for work in group.works])
        except Exception as error:  # noqa: BLE001 - every waiting caller raises it
            group.end(error)
        else:
            group.end()

    def _at_once(self, work: Callable[[], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            return self._inside(work)

    def _inside(self, work: Callable[[], T]) -> T:
        self._is_inside = True
        try:
            return work()
        finally:
            self._is_inside = False

    def _with_room(self, work: Callable[[], T]) -> T:
        if self._is_inside:  # a transaction, which is repeated as a whole
            return work()
        self.flush()
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if not is_disk_full(error) or not self._make_room():
                    raise


@cache
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
