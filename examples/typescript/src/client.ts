/** A client of an agent: the operations on plugin releases, typed by the contract. */

import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "synapse-agent-api";

import type { Shape } from "./answers.js";
import { InvalidLookupError } from "./errors.js";
import { type Allowance, CHANCE, type Chance, type Pace, type Session, exchange } from "./exchange.js";
import { type Filters, pagesOf, queryOf } from "./listing.js";
import { Transport } from "./transport.js";

type Schemas = components["schemas"];
export type Health = Schemas["Health"];
export type Job = Schemas["Job"];
export type PluginRelease = Schemas["PluginRelease"];
export type PluginReleasePage = Schemas["PluginReleasePage"];
export type RunRequest = Schemas["RunRequest"];
export type LegacyRunPayload = Schemas["LegacyRunPayload"];
export type DebugRunRequest = Schemas["DebugRunRequest"];

/** Limits of a call, in seconds; null for none. */
export interface CallOptions {
  /** The longest silence while waiting for an answer. */
  timeout?: number | null;
  /** The whole call, all its attempts and the waits between them. */
  deadline?: number | null;
}

export interface ClientOptions extends CallOptions {
  /** The agent's token, sent verbatim. */
  token?: string;
  userToken?: string;
  tenant?: string;
  headers?: Readonly<Record<string, string>>;
  /** How often a call is repeated, if that can't run an action twice. */
  maxRetries?: number;
  /** Seconds to connect. */
  connectTimeout?: number | null;
  /** Called before each request leaves. */
  onRequest?: () => Promise<void> | void;
  chance?: Chance;
}

/** Fetches, caches and runs plugin releases on one agent. Every method throws a `ClientError` if it fails. */
export class AgentClient {
  /** The contract's other operations, typed, with the same errors and retries: `client.api.GET("/jobs/")`. */
  readonly api: Client<paths>;
  readonly #session: Session;
  readonly #allowance: Allowance;

  constructor(baseUrl: string, options: ClientOptions = {}) {
    this.#session = {
      transport: new Transport(options.connectTimeout),
      chance: options.chance ?? CHANCE,
      baseUrl: baseUrl.replace(/\/+$/, ""),
      headers: headersOf(options),
      onRequest: options.onRequest ?? null,
      features: null,
    };
    const { maxRetries = 2, deadline = null, timeout: read } = options;
    this.#allowance = { maxRetries, deadline, read };
    this.api = createClient<paths>({
      baseUrl: this.#session.baseUrl,
      headers: this.#session.headers,
      fetch: async (request) => {
        const pace = request.method === "POST" ? "run" : "control";
        return await this.#send(request, "request", "bytes", pace);
      },
    });
  }

  /** Check that the agent answers. */
  async healthCheck(): Promise<Health> {
    return await dataOf(this.api.GET("/health/", this.#as("health_check", "object")));
  }

  /** Return a page of the cached releases that match the filters. */
  async listPluginReleases(filters: Filters = {}): Promise<PluginReleasePage> {
    const querySerializer = (): string => queryOf(filters);
    return await dataOf(
      this.api.GET("/plugin_releases/", { ...this.#as("list_plugin_releases", "object"), querySerializer }),
    );
  }

  /** Yield all releases that match the filters, page by page. */
  async *iterPluginReleases(filters: Filters = {}): AsyncGenerator<PluginRelease> {
    for await (const page of this.#pages(filters)) {
      yield* page.results;
    }
  }

  /** Return all releases that match the filters, and the agent's count of them. */
  async listAllPluginReleases(filters: Filters = {}): Promise<[PluginRelease[], number]> {
    const releases: PluginRelease[] = [];
    let count = 0;
    for await (const page of this.#pages(filters)) {
      releases.push(...page.results);
      count = page.count;
    }
    return [releases, count];
  }

  /** Return a release by its ID or `code@version`. */
  async getPluginRelease(lookup: string | number): Promise<PluginRelease> {
    const params = pathOf(lookup);
    return await dataOf(
      this.api.GET("/plugin_releases/{lookup}", { ...this.#as("get_plugin_release", "object"), params }),
    );
  }

  /** Fetch and cache a release on the agent. */
  async createPluginRelease(plugin: string, version: string): Promise<PluginRelease> {
    const init = this.#as("create_plugin_release", "object", "create");
    return await dataOf(this.api.POST("/plugin_releases/", { ...init, body: { plugin, version } }));
  }

  /** Remove a release from the agent's cache. */
  async deletePluginRelease(lookup: string | number): Promise<void> {
    const params = pathOf(lookup);
    await this.api.DELETE("/plugin_releases/{lookup}", { ...this.#as("delete_plugin_release", "empty"), params });
  }

  /** Run an action and return its result, or its record if the action's method is `job`. */
  async runPluginRelease(
    lookup: string | number,
    body: RunRequest | LegacyRunPayload,
    options: CallOptions = {},
  ): Promise<unknown> {
    const params = pathOf(lookup);
    const init = this.#as("run_plugin_release", "any", "run", options);
    return await dataOf(this.api.POST("/plugin_releases/{lookup}/run/", { ...init, params, body }));
  }

  /** Run an action from source, without a release. */
  async runDebugPluginRelease(body: DebugRunRequest, options: CallOptions = {}): Promise<unknown> {
    const init = this.#as("run_debug_plugin_release", "any", "run", options);
    return await dataOf(this.api.POST("/plugin_releases/run_debug/", { ...init, body }));
  }

  /** Close the connections. */
  async close(): Promise<void> {
    await this.#session.transport.close();
  }

  #pages(filters: Filters): AsyncGenerator<PluginReleasePage> {
    return pagesOf((next) => this.listPluginReleases(next), filters) as AsyncGenerator<PluginReleasePage>;
  }

  #as(operation: string, shape: Shape, pace: Pace = "control", options: CallOptions = {}) {
    return { fetch: async (request: Request) => await this.#send(request, operation, shape, pace, options) };
  }

  /** The `fetch` of openapi-fetch, with our errors and retries. */
  async #send(
    request: Request,
    operation: string,
    shape: Shape,
    pace: Pace,
    { deadline = this.#allowance.deadline, timeout: read = this.#allowance.read }: CallOptions = {},
  ): Promise<Response> {
    const { method, url } = request;
    const body = request.body === null ? null : await request.text();
    const outgoing = { method, url, headers: Object.fromEntries(request.headers), body };
    const answer = await exchange(
      { operation, pace, shape, request: outgoing },
      this.#session,
      { maxRetries: this.#allowance.maxRetries, deadline, read },
    );
    // Decoded and complete: the agent's headers about the body's length and encoding no longer apply.
    const headers = new Headers(answer.headers);
    headers.delete("content-length");
    headers.delete("content-encoding");
    if (shape === "empty") return new Response(null, { status: 204 });
    return new Response(answer.body, { status: answer.status, headers });
  }
}

function headersOf({ token, userToken, tenant, headers = {} }: ClientOptions): Record<string, string> {
  const all = new Headers(headers);
  if (token !== undefined) all.set("Authorization", token);
  if (userToken !== undefined) all.set("SYNAPSE-User", `Token ${userToken}`);
  if (tenant !== undefined) all.set("SYNAPSE-Tenant", `Token ${tenant}`);
  return Object.fromEntries(all);
}

/** Return the parameters of a release's path; throw if the lookup can't name a release. */
function pathOf(lookup: string | number): { path: { lookup: string } } {
  const text = String(lookup);
  if (text === "" || text === "." || text === ".." || /[\u0000-\u001f\u007f-\u009f]/.test(text)) {
    throw new InvalidLookupError(`${JSON.stringify(text)} can't name a release: use its ID, or 'code@version'.`);
  }
  return { path: { lookup: text } };
}

/** Return the content of an answer; errors were thrown before. */
async function dataOf<Data>(answer: Promise<{ data?: Data | undefined }>): Promise<Data> {
  return (await answer).data as Data;
}
