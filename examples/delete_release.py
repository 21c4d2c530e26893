# Delete a cached release.
#
# Needs an agent, for instance `synapse-agent serve --plugins examples/plugins`,
# with its address in SYNAPSE_AGENT_URL and its token in SYNAPSE_AGENT_TOKEN.

from synapse_sdk.clients.agent import AgentClient

client = AgentClient()
client.create_plugin_release("my_plugin", "1.0.0")

client.delete_plugin_release("my_plugin@1.0.0")
