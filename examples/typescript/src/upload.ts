/** Uploads a file without holding it in memory, and counts its lines in a run. */

import { createHash } from "node:crypto";
import { createReadStream, openAsBlob } from "node:fs";
import createClient from "openapi-fetch";
import type { paths } from "synapse-agent-api";

const agent = createClient<paths>({
  baseUrl: process.env["SYNAPSE_AGENT_URL"] ?? "http://127.0.0.1:8000",
  headers: { Authorization: process.env["SYNAPSE_AGENT_TOKEN"] },
});

const hash = createHash("sha256");
for await (const part of createReadStream("input.txt")) hash.update(part);
const id = hash.digest("hex");
const file = await openAsBlob("input.txt");
const sent = await agent.PUT("/files/{file_id}/content/", {
  params: { path: { file_id: id }, query: { name: "input.txt" } },
  headers: { "Content-Type": "application/octet-stream" },
  body: file as unknown as string, // openapi-typescript types binary bodies as `string`
  bodySerializer: (body) => body,
});
if (sent.error) throw new Error(JSON.stringify(sent.error));

const run = await agent.POST("/plugin_releases/run_debug/", {
  body: {
    action: "count",
    params: { text: { $file: { id, name: "input.txt" } } },
    config: { actions: { count: { entrypoint: "counter:count" } } },
    modules: { counter: "def count(text):\n    return sum(1 for line in open(text))\n" },
  },
});
if (run.error) throw new Error(JSON.stringify(run.error));
console.log(run.data);
