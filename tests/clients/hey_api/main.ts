// The main job with the client that Hey-API makes: one line per step, with its result as JSON.

import { createClient } from "./client/client/index.js";
import {
  createPluginRelease,
  deleteJob,
  deletePluginRelease,
  getJob,
  getJobLogs,
  getPluginRelease,
  listPluginReleases,
  runDebugPluginRelease,
  runPluginRelease,
  stopJob,
  streamJobLogs,
} from "./client/sdk.gen.js";
import type { ErrorBody, Job, JobStreamEvent } from "./client/types.gen.js";

const client = createClient({
  baseUrl: process.env["SYNAPSE_AGENT_URL"] ?? "",
  auth: process.env["SYNAPSE_AGENT_TOKEN"],
});
const lookup = "workshop@1.0.0";
const background = { Prefer: "respond-async" };

function report(step: string, outcome: unknown): void {
  console.log(`${step}\t${JSON.stringify(outcome)}`);
}

function typeOf(error: ErrorBody | undefined): unknown {
  const detail = error?.detail;
  return typeof detail === "object" && !Array.isArray(detail) ? detail.error_type : detail;
}

async function releases(): Promise<void> {
  const created = await createPluginRelease({ client, body: { plugin: "workshop", version: "1.0.0" } });
  report("create", [created.data?.plugin, created.data?.version]);
  const found = await getPluginRelease({ client, path: { lookup } });
  report("get", [found.data?.plugin, found.data?.version]);
  const custom = await listPluginReleases({ client, query: { category: "custom" } });
  const none = await listPluginReleases({ client, query: { category: "none", filters: {} } });
  report("list", [custom.data?.count, none.data?.count]);
}

async function runs(): Promise<void> {
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  const typed = await runPluginRelease({ client, headers, path: { lookup }, body: { action: "count", params: { to: 2 } } });
  report("run", typed.data);
  const payload = { action: "echo", params: { value: "legacy" }, key_of_its_own: { deep: [1, null] } };
  const legacy = await runPluginRelease({ client, path: { lookup }, body: payload });
  report("legacy", legacy.data);
  const config = { actions: { greet: { entrypoint: "hello:greet" } } };
  const modules = { hello: "def greet(name):\n    return f'Hello, {name}'\n" };
  const debug = await runDebugPluginRelease({ client, body: { action: "greet", params: { name: "Ada" }, config, modules } });
  report("debug", debug.data);
}

async function jobs(): Promise<void> {
  const body = { action: "count", params: { to: 2 }, job_id: "counted" };
  const accepted = await runPluginRelease({ client, headers: background, path: { lookup }, body });
  const path = { job_id: (accepted.data as Job).job_id };
  const messages: (string | undefined)[] = [];
  const { stream } = await streamJobLogs({ client, path });
  for await (const event of stream) {
    const heard = event as unknown as JobStreamEvent;
    if (heard.type === "log") messages.push(heard.message);
    if (heard.type === "complete") {
      messages.push(heard.status);
      break;
    }
  }
  report("stream", messages);
  const record = await getJob({ client, path });
  report("job", [record.data?.status, record.data?.progress?.current, record.data?.result]);
  report("logs", (await getJobLogs({ client, path })).data);
  await runPluginRelease({ client, path: { lookup }, body: { action: "wait", params: { seconds: 60 }, job_id: "waiting" } });
  report("stop", (await stopJob({ client, path: { job_id: "waiting" } })).data?.status);
  await deleteJob({ client, path });
  const { error, response } = await getJob({ client, path });
  report("forgotten", [response?.status, typeOf(error)]);
}

await releases();
await runs();
await jobs();
await deletePluginRelease({ client, path: { lookup } });
const { error, response } = await getPluginRelease({ client, path: { lookup } });
report("deleted", [response?.status, typeOf(error)]);
