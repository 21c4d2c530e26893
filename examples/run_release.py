# Run an action: read a PDF, with a requirement that the plugin itself does not have.
#
# Needs an agent, for instance `synapse-agent serve --plugins examples/plugins`,
# with its address in SYNAPSE_AGENT_URL and its token in SYNAPSE_AGENT_TOKEN.

from pathlib import Path

from synapse_sdk.clients.agent import AgentClient

DOCUMENT = Path(__file__).resolve().parent / "data" / "document.pdf"

client = AgentClient()
client.create_plugin_release("ocr_plugin", "2.0.0")

result = client.run_plugin_release(
    lookup="ocr_plugin@2.0.0",
    action="process_document",
    params={"file_path": str(DOCUMENT)},
    requirements=["pillow>=9.0.0"],
    job_id="job_abc123",
)

print(f"Result: {result}")
