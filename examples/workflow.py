# The whole way: cache a release, run an action of it, clean up.
#
# Needs an agent, for instance `synapse-agent serve --plugins examples/plugins`,
# with its address in SYNAPSE_AGENT_URL and its token in SYNAPSE_AGENT_TOKEN.

from synapse_sdk.clients.agent import AgentClient

client = AgentClient()

# 1. Fetch and cache the plugin release
client.create_plugin_release("my_plugin", "1.0.0")

# 2. Execute the plugin action
result = client.run_plugin_release("my_plugin@1.0.0", "process", params={"input": "to be or not to be"})
print(f"Result: {result}")

# 3. Clean up when done
client.delete_plugin_release("my_plugin@1.0.0")
