"""A file as text in params and result, as without files."""

from __future__ import annotations

import base64

from subjects.facade import Run, repeat
from subjects.files import FILE_BYTES, change, new_file
from subjects.payload import TOKEN

from synapse_sdk.clients.agent import AgentClient


def there_and_back(url: str) -> Run:
    """Send a file to an action, and write its result."""
    client, source = AgentClient(url, TOKEN), new_file()

    def call() -> None:
        change(source)
        text = base64.b64encode(source.read_bytes()).decode()
        result = client.run_plugin_release("adder@1.0.0", "text_back", {"text": text})
        back = source.with_name("back.bin")
        back.write_bytes(base64.b64decode(result))
        assert back.stat().st_size == FILE_BYTES

    return repeat(call)


SCENARIOS = {"there_and_back": there_and_back}
