/** The main job: fetch a plugin release, run it, list all, delete it. */

import { AgentClient } from "./client.js";
import { ActionFailedError } from "./errors.js";

const { SYNAPSE_AGENT_URL = "http://127.0.0.1:8000", SYNAPSE_AGENT_TOKEN: token = "" } = process.env;
const client = new AgentClient(SYNAPSE_AGENT_URL, token ? { token } : {});

const release = await client.createPluginRelease("my_plugin", "1.0.0");
console.log(`Cached: ${release.plugin}@${release.version}`);

const result = await client.runPluginRelease("my_plugin@1.0.0", { action: "train", params: { epochs: 3 } });
console.log("Result:", JSON.stringify(result));

try {
  await client.runPluginRelease("my_plugin@1.0.0", { action: "train", params: { epochs: 0 } });
} catch (error) {
  if (!(error instanceof ActionFailedError)) throw error;
  console.log(`Failed: ${error.message} (${error.outcome})`);
}

const { data: jobs = [] } = await client.api.GET("/jobs/", { params: { query: { limit: 2 } } });
console.log("Jobs:", jobs.map((job) => job.status).join(", "));

for await (const { plugin, version } of client.iterPluginReleases({ plugin: "my_plugin" })) {
  console.log(`Listed: ${plugin}@${version}`);
}

await client.deletePluginRelease("my_plugin@1.0.0");
console.log("Deleted.");
await client.close();
