"""The lists of what an agent keeps on its disk."""

from __future__ import annotations

from pathlib import Path

from synapse_agent import EmbeddedAgent


def test_operators_see_environments_and_stores(plugins: Path) -> None:
    """The lists have sizes and the free space of the disk."""
    with EmbeddedAgent(plugins) as agent, agent.client() as client:
        client.create_plugin_release("tools", "1.0.0")
        client.run_plugin_release("tools@1.0.0", "echo")
        (environment,) = client.list_environments()
        assert (environment["requirements"], environment["usable"]) == ([], True)
        storage = client.get_storage()
        stores = {store["name"]: store["size"] for store in storage["stores"]}
        assert stores["environments"] == environment["size"] > 0
        assert min(stores["releases"], stores["database"]) > 0
        assert 0 < storage["disk_free"] <= storage["disk_total"]
        assert Path(storage["data_dir"]).is_dir()
