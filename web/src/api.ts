/** The agent's operations, typed by the contract, as this page calls them. */

import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "synapse-agent-api";

export type Job = components["schemas"]["Job"];
export type Release = components["schemas"]["PluginRelease"];
export type Action = components["schemas"]["PluginAction"];
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The page's folder: an agent may be behind a proxy that adds a prefix. */
export const BASE = new URL(".", location.href).href;

/** Sent with each request of this page; the agent requires it besides a session's cookie, since no form can send it. */
export const PAGE_HEADER = { "Synapse-Agent-Page": "1" };

/** An error answer of the agent, or no answer at all. */
export class AgentError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly detail: Json = null,
  ) {
    super(message);
  }

  /** Read an error from the body of an answer. */
  static from(status: number, body: unknown): AgentError {
    const detail = (body as { detail?: Json } | undefined)?.detail ?? null;
    return new AgentError(status, describe(detail) ?? `The agent answered with HTTP ${status}.`, detail);
  }
}

function describe(detail: Json): string | null {
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail)) return detail.map(describeItem).join("; ");
  const message = (detail as { message?: Json } | null)?.message;
  return typeof message === "string" ? message : null;
}

function describeItem(item: Json): string {
  const { loc, msg } = item as { loc?: Json[]; msg?: string };
  return `${(loc ?? []).join(".")}: ${msg ?? "invalid"}`;
}

const signedOut: Middleware = {
  onResponse({ response }) {
    if (response.status === 401) window.dispatchEvent(new Event("signed-out"));
  },
};

export const api = createClient<paths>({ baseUrl: BASE, headers: PAGE_HEADER });
api.use(signedOut);

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Return the content of an answer, or throw an `AgentError`. */
export async function content<T>(call: Promise<Answered<T>>): Promise<T> {
  let answer: Answered<T>;
  try {
    answer = await call;
  } catch {
    throw new AgentError(0, "The agent does not answer. This page tries again by itself.");
  }
  if (!answer.response.ok) throw AgentError.from(answer.response.status, answer.error);
  return answer.data as T;
}
