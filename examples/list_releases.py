# List the releases that the agent has cached.
#
# Needs an agent, for instance `synapse-agent serve --plugins examples/plugins`,
# with its address in SYNAPSE_AGENT_URL and its token in SYNAPSE_AGENT_TOKEN.

import os

from synapse_sdk.clients.agent import AgentClient

client = AgentClient(base_url=os.environ["SYNAPSE_AGENT_URL"])

releases, total = client.list_plugin_releases(list_all=True)
for release in releases:
    print(f"{release['plugin']}@{release['version']}")
