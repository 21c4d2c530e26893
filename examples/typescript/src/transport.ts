/** Sends one request and reads its answer to the end, on undici: Node's own fetch limits an action to five minutes. */

import { Agent, fetch } from "undici";

import { type Answer, unreadable } from "./answers.js";
import {
  ClientConnectionError,
  type ClientError,
  ClientResponseIncompleteError,
  ClientTimeoutError,
} from "./errors.js";

/** A request, which may be sent several times. */
export interface Outgoing {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string | null;
}

/** Limits in seconds; null for none. */
export interface Limits {
  /** The longest silence while waiting for the answer, or for more of it. */
  read: number | null;
  /** The longest duration of the whole request. */
  total: number | null;
}

const CONNECT_SECONDS = 5;
const NOT_SENT = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN"]);

/** Connections to one agent. */
export class Transport {
  readonly #connections: Agent;

  constructor(connect: number | null = CONNECT_SECONDS) {
    const timeout = connect === null ? 0 : connect * 1000;
    this.#connections = new Agent({ bodyTimeout: 0, headersTimeout: 0, connect: { timeout, keepAlive: true } });
  }

  /** Return the answer to a request, or throw a `ClientError`. */
  async carry(request: Outgoing, limits: Limits): Promise<Answer> {
    const watch = new Watch(limits);
    try {
      return await this.#exchange(request, watch);
    } catch (error) {
      throw watch.error ?? asClientError(error);
    } finally {
      watch.end();
    }
  }

  /** Close the connections. */
  async close(): Promise<void> {
    await this.#connections.destroy();
  }

  async #exchange({ url, ...request }: Outgoing, watch: Watch): Promise<Answer> {
    const dispatcher = this.#connections;
    const response = await fetch(url, { ...request, dispatcher, redirect: "manual", signal: watch.signal });
    const answer = { status: response.status, headers: new Headers([...response.headers]) };
    const parts: Uint8Array[] = [];
    try {
      for await (const part of response.body ?? []) {
        watch.heard();
        parts.push(part as Uint8Array);
      }
    } catch (error) {
      if (!codeOf(error).startsWith("Z_")) throw error;
      throw unreadable({ ...answer, body: new Uint8Array() }, "can't be decoded");
    }
    return { ...answer, body: Buffer.concat(parts) };
  }
}

/** Ends a request that is silent for too long, or takes too long altogether. */
class Watch {
  error: ClientTimeoutError | null = null;
  readonly #controller = new AbortController();
  readonly #read: NodeJS.Timeout | null;
  readonly #total: NodeJS.Timeout | null;

  constructor({ read, total }: Limits) {
    this.#read = this.#after(read, `The agent was silent for ${read} s.`);
    this.#total = this.#after(total, "The deadline passed before the answer arrived.");
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    this.#read?.refresh();
  }

  end(): void {
    clearTimeout(this.#read ?? undefined);
    clearTimeout(this.#total ?? undefined);
  }

  #after(seconds: number | null, message: string): NodeJS.Timeout | null {
    if (seconds === null) return null;
    return setTimeout(() => {
      this.error = new ClientTimeoutError(message);
      this.#controller.abort();
    }, seconds * 1000);
  }
}

function asClientError(error: unknown): unknown {
  if (!(error instanceof TypeError)) return error;
  const code = codeOf(error);
  const why = error.cause instanceof Error && error.cause.message ? error.cause.message : code || error.message;
  return connectionError(code, why);
}

function connectionError(code: string, why: string): ClientError {
  if (code === "UND_ERR_CONNECT_TIMEOUT") {
    return new ClientTimeoutError(`No connection to the agent: ${why}.`, { outcome: "not_sent" });
  }
  if (NOT_SENT.has(code)) {
    return new ClientConnectionError(`No connection to the agent: ${why}.`, { outcome: "not_sent" });
  }
  return new ClientResponseIncompleteError(`The connection broke before the answer arrived: ${why}.`);
}

/** Return the code of the cause of fetch's error; if several addresses were tried, each has one. */
function codeOf(error: unknown): string {
  const causes = [error, (error as Error).cause, ...((error as { cause?: AggregateError }).cause?.errors ?? [])];
  const codes = causes.map((cause) => (cause as NodeJS.ErrnoException | undefined)?.code);
  return codes.find((code) => typeof code === "string") ?? "";
}
