# Run a plugin from its source, with one of its modules replaced.
#
# Needs an agent, for instance `synapse-agent serve --plugins examples/plugins`,
# with its address in SYNAPSE_AGENT_URL and its token in SYNAPSE_AGENT_TOKEN.

from pathlib import Path

from synapse_sdk.clients.agent import AgentClient

PLUGIN = Path(__file__).resolve().parent / "plugins" / "my_plugin"
PROCESSOR = """
import numpy


class Processor:
    def process(self, text):
        lengths = numpy.array([len(word) for word in text.split()])
        return {"words": lengths.size, "mean_length": lengths.mean()}
"""

client = AgentClient()

result = client.run_debug_plugin_release(
    action="process",
    params={"input": "test"},
    plugin_path=str(PLUGIN),
    config={"debug": True},
    modules={
        "my_plugin.processor": PROCESSOR,
    },
    requirements=["numpy"],
    job_id="debug_job_123",
)
print(f"Result: {result}")
