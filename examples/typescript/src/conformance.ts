/**
 * Plays the cases of tests/conformance with this client. It reads commands as lines of JSON from standard input and
 */

import { createInterface } from "node:readline";

import { AgentClient, type DebugRunRequest, type LegacyRunPayload, type RunRequest } from "./client.js";
import { ActionFailedError, ClientError, HTTPError, RequirementsError } from "./errors.js";
import type { Filters } from "./listing.js";

interface ClientOfACase {
  base_url: string;
  token?: string;
  user_token?: string;
  tenant?: string;
  headers?: Record<string, string>;
  max_retries?: number;
  timeout?: number | [number, number] | { connect?: number; read?: number };
  deadline?: number;
}

interface CallOfACase {
  method: string;
  arguments: Record<string, unknown>;
}

type Command = { open: ClientOfACase } | { call: CallOfACase } | { close: true };

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let client = new AgentClient("http://agent.invalid");
let waits: number[] = [];

for (let line = await lines.next(); !line.done; line = await lines.next()) {
  const command = JSON.parse(line.value) as Command;
  if ("open" in command) {
    client = clientOf(command.open);
    say({});
  } else if ("call" in command) {
    const before = waits.length;
    say({ ...(await outcomeOf(command.call)), waits: waits.slice(before) });
  } else {
    await client.close();
    say({});
  }
}

/** Make a client whose clock advances by each wait instead of waiting. */
function clientOf(options: ClientOfACase): AgentClient {
  const { base_url, token, user_token, tenant, headers, max_retries, timeout, deadline } = options;
  waits = [];
  const made: number[] = waits;
  const { connect, read } = typeof timeout === "object" ? pair(timeout) : { connect: timeout, read: timeout };
  return new AgentClient(base_url, {
    ...given({ token, userToken: user_token, tenant, headers, maxRetries: max_retries, deadline }),
    ...given({ timeout: read, connectTimeout: connect }),
    onRequest: async () => {
      say({ about_to_send: true });
      await lines.next();
    },
    chance: {
      now: () => performance.now() / 1000 + made.reduce((sum, wait) => sum + wait, 0),
      uniform: (_, most) => most,
      sleep: async (seconds) => void made.push(seconds),
    },
  });
}

async function outcomeOf(call: CallOfACase): Promise<object> {
  try {
    return { result: (await made(call)) ?? null };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { error: reportOf(error) };
  }
}

async function made({ method, arguments: { lookup, deadline, timeout, ...rest } }: CallOfACase): Promise<unknown> {
  const name = lookup as string | number;
  const options = given({ deadline, timeout }) as { deadline?: number; timeout?: number };
  const filters = (rest["params"] ?? {}) as Filters;
  switch (method) {
    case "health_check":
      return await client.healthCheck();
    case "list_plugin_releases":
      return await (rest["list_all"] ? client.listAllPluginReleases(filters) : client.listPluginReleases(filters));
    case "iter_plugin_releases":
      return await collected(client.iterPluginReleases(filters));
    case "get_plugin_release":
      return await client.getPluginRelease(name);
    case "create_plugin_release":
      return await client.createPluginRelease(String(rest["plugin"]), String(rest["version"]));
    case "delete_plugin_release":
      return await client.deletePluginRelease(name);
    case "run_plugin_release":
      return await client.runPluginRelease(name, (rest["data"] ?? rest) as RunRequest | LegacyRunPayload, options);
    case "run_debug_plugin_release":
      return await client.runDebugPluginRelease(rest as unknown as DebugRunRequest, options);
    default:
      throw new Error(`This client has no method for ${method}.`);
  }
}

async function collected<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) {
    list.push(item);
  }
  return list;
}

/** Return the fields of an error, by the names in the cases. */
function reportOf(error: ClientError): object {
  return {
    class: error.constructor.name,
    text: error.toString(),
    outcome: error.outcome,
    status_code: error.statusCode,
    detail: error.detail,
    error_type: error.errorType,
    request_id: error.requestId,
    retry_after: error instanceof HTTPError ? error.retryAfter : null,
    attempts: error.attempts.map((attempt) => attempt.status ?? attempt.error),
    idempotency_key: error.idempotencyKey,
    fields: fieldsOf(error),
  };
}

function fieldsOf(error: ClientError): object {
  if (error instanceof RequirementsError) return { installer_output: error.installerOutput };
  if (!(error instanceof ActionFailedError)) return {};
  const { jobId, exceptionType, exceptionMessage, traceback } = error;
  return { job_id: jobId, exception_type: exceptionType, exception_message: exceptionMessage, traceback };
}

function pair(timeout: [number, number] | { connect?: number; read?: number }): { connect?: number; read?: number } {
  return Array.isArray(timeout) ? { connect: timeout[0], read: timeout[1] } : timeout;
}

/** Remove undefined values. */
function given<Values extends object>(values: Values): { [Name in keyof Values]?: Exclude<Values[Name], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
