"""A default-constructed `AgentClient`, its retries and hooks on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count

from subjects.facade import LOOKUP, Run, repeat, scenarios
from subjects.files import FILE_BYTES, change, new_file
from subjects.payload import LARGE, SMALL, TOKEN
from subjects.tasks import in_flight

from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient


async def opened(url: str) -> Callable[[], Awaitable[object]]:
    """Return a function that gets a release."""
    client = AsyncAgentClient(url, TOKEN)
    return lambda: client.get_plugin_release(LOOKUP)


def add(url: str, requirements: Sequence[str] = ()) -> Run:
    """Run an action that does next to nothing; each call has requirements that no call before it had."""
    client, numbers = AgentClient(url, TOKEN), count()

    def call() -> None:
        number = next(numbers)
        wanted = [f"{name}>=0.{number}" for name in requirements]
        result = client.run_plugin_release("adder@1.0.0", "add", params={"a": 1, "b": 2}, requirements=wanted)
        assert result == {"sum": 3}, result

    return repeat(call)


def first_value(url: str) -> Run:
    """Wait for the first value of a generator."""
    client = AgentClient(url, TOKEN)

    def call() -> None:
        values = client.stream_plugin_release("adder@1.0.0", "count", {"values": 1})
        assert next(values) == {"number": 0}
        values.close()

    return repeat(call)


def there_and_back(url: str) -> Run:
    """Send a new file to an action, and fetch the file that it writes."""
    client, source = AgentClient(url, TOKEN), new_file()

    def call() -> None:
        change(source)
        result = client.run_plugin_release("adder@1.0.0", "file_back", {"file": source})
        back = client.download_file(result, to=source.with_name("back.bin"))
        assert back.stat().st_size == FILE_BYTES

    return repeat(call)


def values(url: str) -> Run:
    """Receive a number of values of one generator."""
    client = AgentClient(url, TOKEN)

    def receive(times: int) -> None:
        received = list(client.stream_plugin_release("adder@1.0.0", "count", {"values": times}))
        assert len(received) == times, len(received)

    return receive


SCENARIOS = {
    **scenarios(lambda url: AgentClient(url, TOKEN), lambda client, query: client.iter_plugin_releases(query)),
    "async_1": lambda url: in_flight(1, partial(opened, url)),
    "async_50": lambda url: in_flight(50, partial(opened, url)),
    "async_100": lambda url: in_flight(100, partial(opened, url)),
    "add": add,
    "first_value": first_value,
    "values": values,
    "there_and_back": there_and_back,
    "new_small": partial(add, requirements=SMALL),
    "new_large": partial(add, requirements=LARGE),
}
