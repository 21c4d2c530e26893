// The main job with openapi-typescript's types and openapi-fetch: one line per step, with its result.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type ErrorBody = components["schemas"]["ErrorBody"];
type JobStreamEvent = components["schemas"]["JobStreamEvent"];

const client = createClient<paths>({
  baseUrl: process.env["SYNAPSE_AGENT_URL"] ?? "",
  headers: { Authorization: process.env["SYNAPSE_AGENT_TOKEN"] },
});
const lookup = "workshop@1.0.0";
const RUN = "/plugin_releases/{lookup}/run/";

function report(step: string, outcome: unknown): void {
  console.log(`${step}\t${JSON.stringify(outcome)}`);
}

function typeOf(error: ErrorBody | undefined): unknown {
  const detail = error?.detail;
  return typeof detail === "object" && !Array.isArray(detail) ? detail.error_type : detail;
}

async function releases(): Promise<void> {
  const created = await client.POST("/plugin_releases/", { body: { plugin: "workshop", version: "1.0.0" } });
  report("create", [created.data?.plugin, created.data?.version]);
  const found = await client.GET("/plugin_releases/{lookup}", { params: { path: { lookup } } });
  report("get", [found.data?.plugin, found.data?.version]);
  const custom = await client.GET("/plugin_releases/", { params: { query: { category: "custom" } } });
  const none = await client.GET("/plugin_releases/", { params: { query: { category: "none" } } });
  report("list", [custom.data?.count, none.data?.count]);
}

async function runs(): Promise<void> {
  const params = { path: { lookup }, header: { "Idempotency-Key": crypto.randomUUID() } };
  const typed = await client.POST(RUN, { params, body: { action: "count", params: { to: 2 } } });
  report("run", typed.data);
  const payload = { action: "echo", params: { value: "legacy" }, key_of_its_own: { deep: [1, null] } };
  const legacy = await client.POST(RUN, { params: { path: { lookup } }, body: payload });
  report("legacy", legacy.data);
  const config = { actions: { greet: { entrypoint: "hello:greet" } } };
  const modules = { hello: "def greet(name):\n    return f'Hello, {name}'\n" };
  const body = { action: "greet", params: { name: "Ada" }, config, modules };
  report("debug", (await client.POST("/plugin_releases/run_debug/", { body })).data);
}

/** Read server-sent events: the contract describes text, and openapi-fetch returns a stream. */
async function* events(stream: AsyncIterable<Uint8Array>): AsyncGenerator<JobStreamEvent> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of stream) {
    const blocks = (text + decoder.decode(part, { stream: true })).split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice("data: ".length)) as JobStreamEvent;
    }
  }
}

async function jobs(): Promise<void> {
  const params = { path: { lookup }, header: { Prefer: "respond-async" } };
  const body = { action: "count", params: { to: 2 }, job_id: "counted" };
  const accepted = await client.POST(RUN, { params, body });
  const path = { job_id: (accepted.data as components["schemas"]["Job"]).job_id };
  const log = await client.GET("/jobs/{job_id}/logs/stream/", { params: { path }, parseAs: "stream" });
  const messages: (string | undefined)[] = [];
  for await (const heard of events(log.data as unknown as AsyncIterable<Uint8Array>)) {
    if (heard.type === "log") messages.push(heard.message);
    if (heard.type === "complete") messages.push(heard.status);
  }
  report("stream", messages);
  const record = await client.GET("/jobs/{job_id}/", { params: { path } });
  report("job", [record.data?.status, record.data?.progress?.current, record.data?.result]);
  report("logs", (await client.GET("/jobs/{job_id}/logs/", { params: { path }, parseAs: "text" })).data);
  const waiting = { action: "wait", params: { seconds: 60 }, job_id: "waiting" };
  await client.POST(RUN, { params: { path: { lookup } }, body: waiting });
  const stopped = await client.POST("/jobs/{job_id}/stop/", { params: { path: { job_id: "waiting" } } });
  report("stop", stopped.data?.status);
  await client.DELETE("/jobs/{job_id}/", { params: { path } });
  const { error, response } = await client.GET("/jobs/{job_id}/", { params: { path } });
  report("forgotten", [response.status, typeOf(error)]);
}

await releases();
await runs();
await jobs();
await client.DELETE("/plugin_releases/{lookup}", { params: { path: { lookup } } });
const { error, response } = await client.GET("/plugin_releases/{lookup}", { params: { path: { lookup } } });
report("deleted", [response.status, typeOf(error)]);
