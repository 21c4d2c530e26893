# Cache a plugin and have it predict.
#
# Needs an agent, for instance `synapse-agent serve --plugins examples/plugins`,
# with its address in SYNAPSE_AGENT_URL and its token in SYNAPSE_AGENT_TOKEN.

import os

from synapse_sdk.clients.agent import AgentClient

client = AgentClient(
    base_url=os.environ["SYNAPSE_AGENT_URL"],
    access_token=os.environ["SYNAPSE_AGENT_TOKEN"],
)

# Cache a plugin release
client.create_plugin_release("ml_model", "1.2.0")

# Execute the plugin
result = client.run_plugin_release(
    lookup="ml_model@1.2.0",
    action="predict",
    params={"data": [1, 2, 3, 4, 5]},
)

print(f"Prediction: {result}")
