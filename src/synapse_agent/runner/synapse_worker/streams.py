"""Actions that yield: each value is reported at once, and the list of them is the result."""

from __future__ import annotations

from types import GeneratorType
from typing import Any

from .context import Context
from .failures import ActionFailure
from .plain_values import MAX_PLACES, NonFinite
from .protocol import MAX_VALUE
from .results import JsonText, to_json


class OutputStream:
    """The values that an action yields."""

    def __init__(self, context: Context, *, limit: int) -> None:
        """`limit` is for the result, in bytes of JSON."""
        self._context = context
        self._limit = limit
        self._texts: list[bytes] = []
        self._size = len("[]")
        self._total = 0
        self._places: list[dict[str, str]] = []

    def run(self, result: Any) -> JsonText:
        """Report each value as it is yielded, and return the list of all."""
        if isinstance(result, GeneratorType):
            try:
                for value in result:
                    self._take(value)
            finally:
                result.close()
        else:
            import asyncio  # as in `invoke`

            asyncio.run(self._take_all(result))
        return self._written()

    async def run_async(self, result: Any) -> JsonText:
        """Do the same with an asynchronous generator, in the running loop."""
        await self._take_all(result)
        return self._written()

    def _written(self) -> JsonText:
        return JsonText(b"[" + b",".join(self._texts) + b"]", NonFinite(self._total, self._places))

    async def _take_all(self, result: Any) -> None:
        """Iterate in a single task: contexts that the generator has entered, such as a timeout, are bound to it."""
        try:
            async for value in result:
                self._take(value)
        finally:
            await result.aclose()

    def _take(self, value: Any) -> None:
        written = to_json(value, limit=self._limit, root=f"$[{len(self._texts)}]")
        self._check(len(written.text))
        self._total += written.nonfinite.total
        self._places += written.nonfinite.places[: MAX_PLACES - len(self._places)]
        self._texts.append(written.text)
        self._context.output(written.text)

    def _check(self, size: int) -> None:
        if size > MAX_VALUE:
            message = f"Value {len(self._texts)} of the action has {size} bytes of JSON; the limit is {MAX_VALUE}."
            raise ActionFailure("result_too_large", message, size=size, limit=MAX_VALUE)
        self._size += size + len(",")
        if self._size > self._limit:
            message = (
                f"The {len(self._texts) + 1} values of the action have {self._size} bytes of JSON, over this agent's"
                f" limit of {self._limit}."
            )
            raise ActionFailure("result_too_large", message, size=self._size, limit=self._limit)
