# Have the agent fetch a release and cache it.
#
# Needs an agent, for instance `synapse-agent serve --plugins examples/plugins`,
# with its address in SYNAPSE_AGENT_URL and its token in SYNAPSE_AGENT_TOKEN.

from synapse_sdk.clients.agent import AgentClient

client = AgentClient()

release = client.create_plugin_release(plugin="my_plugin", version="1.0.0")

print(f"Cached: {release['id']}")
