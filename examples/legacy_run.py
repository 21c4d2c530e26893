# Run an action the way that v1 callers do, and the way to do it now.
#
# Needs an agent, for instance `synapse-agent serve --plugins examples/plugins`,
# with its address in SYNAPSE_AGENT_URL and its token in SYNAPSE_AGENT_TOKEN.

from synapse_sdk.clients.agent import AgentClient

client = AgentClient()
client.create_plugin_release("my_plugin", "1.0.0")

# Legacy style (still supported)
result = client.run_plugin_release(
    "my_plugin@1.0.0",
    data={
        "action": "train",
        "params": {"epochs": 10},
        "job_id": "job-uuid",
    },
)
print(f"Legacy: {result}")

# Recommended style
result = client.run_plugin_release(
    "my_plugin@1.0.0",
    "train",
    params={"epochs": 10},
    job_id="job-uuid",
)
print(f"Recommended: {result}")
