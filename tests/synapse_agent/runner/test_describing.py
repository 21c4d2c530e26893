"""The schema of an action's params in its release's record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient

FILES = {
    "config.yaml": """
        code: described
        version: 1.0.0
        actions: {train: "main:train", plain: "main:plain", lost: "main:lost", broken: "broken:act"}
        """,
    "main.py": "def train(epochs: int, rate: float = 0.5):\n    return epochs * rate\ndef plain(x):\n    return x\n",
    "broken.py": "raise SystemExit(3)\n",
}
TRAIN = {
    "type": "object",
    "properties": {"epochs": {"type": "integer"}, "rate": {"type": "number", "default": 0.5}},
    "required": ["epochs"],
    "additionalProperties": False,
}


def schemas(client: AgentClient) -> dict[str, Any]:
    actions: Any = client.get_plugin_release("described@1.0.0")["actions"]
    return {action["name"]: action["params_schema"] for action in actions if "params_schema" in action}


def test_a_release_is_described_once_it_has_run(tmp_path: Path) -> None:
    """Before, the agent imports none of its code; afterwards it keeps the description until the release is deleted."""
    folder, data = tmp_path / "plugins" / "described", tmp_path / "data"
    for name, text in FILES.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("\n        ", "\n"))
    with EmbeddedAgent(folder.parent, data_dir=data) as agent, agent.client() as client:
        client.create_plugin_release("described", "1.0.0")
        assert schemas(client) == {}
        assert client.run_plugin_release("described@1.0.0", "train", params={"epochs": "4"}) == 2.0
        until(lambda: schemas(client))
        assert schemas(client)["train"] == TRAIN
        assert set(schemas(client)) == {"train", "plain"}
        assert len(client.list_jobs()) == 1
    with EmbeddedAgent(folder.parent, data_dir=data) as agent, agent.client() as client:
        assert schemas(client)["train"] == TRAIN
        client.delete_plugin_release("described@1.0.0")
        assert list((data / "schemas").iterdir()) == []
        client.create_plugin_release("described", "1.0.0")
        assert schemas(client) == {}
