/** Sends a call, repeats it if that is safe, and judges its failures together. No action runs twice. */

import { type Answer, type Shape, judge, parseJson } from "./answers.js";
import {
  type Attempt,
  ClientConnectionError,
  ClientError,
  ClientTimeoutError,
  HTTPError,
  NotFoundError,
} from "./errors.js";
import type { Outgoing, Transport } from "./transport.js";

/** How long an answer may take: `create` downloads, and a `run` may take days. */
export type Pace = "control" | "create" | "run";

/** One call of the contract. */
export interface Call {
  operation: string;
  pace: Pace;
  shape: Shape;
  request: Outgoing;
}

/** Clock, random numbers and waiting: passed in, so that tests control them. */
export interface Chance {
  /** A monotonic clock, in seconds. */
  now(): number;
  uniform(least: number, most: number): number;
  sleep(seconds: number): Promise<void>;
}

/** What all calls of a client share. */
export interface Session {
  transport: Transport;
  chance: Chance;
  baseUrl: string;
  headers: Record<string, string>;
  /** Called before each request leaves. */
  onRequest: (() => Promise<void> | void) | null;
  /** The agent's features; null until an answer has shown them. */
  features: ReadonlySet<string> | null;
}

/** The limits of a call. */
export interface Allowance {
  maxRetries: number;
  /** Seconds for the whole call, its attempts and the waits between them; null for no limit. */
  deadline: number | null;
  /** Seconds of silence while reading; null for no limit, undefined for the operation's own. */
  read?: number | null | undefined;
}

export const CHANCE: Chance = {
  now: () => performance.now() / 1000,
  uniform: (least, most) => least + Math.random() * (most - least),
  sleep: (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
};

const READ_SECONDS: Record<Pace, number | null> = { control: 30, create: 600, run: null };
const FIRST_BACKOFF = 0.5;
const LONGEST_BACKOFF = 8;
const LONGEST_RETRY_AFTER = 60;
const RETRIED = new Set([429, 502, 503, 504]);

/** Send a call, repeated if that is safe; return its body, or throw the last error. */
export async function exchange(call: Call, session: Session, allowance: Allowance): Promise<Answer> {
  const { deadline } = allowance;
  return await new Exchange(call, session, allowance, deadline === null ? null : session.chance.now() + deadline).run();
}

class Exchange {
  readonly #request: Outgoing;
  readonly #attempts: Attempt[] = [];
  #retriesLeft: number;
  #longestWait = FIRST_BACKOFF;
  #mayHaveRun = false;

  constructor(
    readonly call: Call,
    readonly session: Session,
    readonly allowance: Allowance,
    readonly end: number | null,
  ) {
    this.#retriesLeft = allowance.maxRetries;
    const headers = { ...call.request.headers };
    if (call.pace !== "control") {
      headers["idempotency-key"] ??= crypto.randomUUID();
    }
    this.#request = { ...call.request, headers };
  }

  async run(): Promise<Answer> {
    for (;;) {
      let error: ClientError;
      try {
        return await this.#attempt();
      } catch (caught) {
        if (!(caught instanceof ClientError)) throw caught;
        error = caught;
      }
      // A repeated DELETE may get 404 because the first one removed the release.
      if (this.call.request.method === "DELETE" && this.#mayHaveRun && error instanceof NotFoundError) {
        return { status: 204, headers: new Headers(), body: new Uint8Array() };
      }
      const wait = await this.#waitBeforeNext(error);
      this.#note(error, wait);
      if (wait === null) throw error;
      await this.session.chance.sleep(wait);
    }
  }

  async #attempt(): Promise<Answer> {
    const total = this.#timeLeft();
    if (total !== null && total <= 0) {
      throw new ClientTimeoutError("The deadline passed before the request was sent.", { outcome: "not_sent" });
    }
    const { read = READ_SECONDS[this.call.pace] } = this.allowance;
    await this.session.onRequest?.();
    const answer = await this.session.transport.carry(this.#request, { read, total });
    const told = answer.headers.get("synapse-agent-features");
    if (told !== null) {
      this.session.features = featuresOf(told.split(","));
    }
    judge(this.call.operation, this.call.shape, answer);
    return answer;
  }

  /** Return the seconds to wait before the next request, null for no further request. */
  async #waitBeforeNext(error: ClientError): Promise<number | null> {
    let isFree = false;
    if (!this.#isRepeatable(error)) {
      if (!this.#isInterrupted(error) || !(await this.#agentKeepsRuns())) return null;
      isFree = await this.#isGoingOn();
    }
    if (!isFree && this.#retriesLeft <= 0) return null;
    const wait = this.#backoff(error);
    if (!isFree) {
      this.#retriesLeft -= 1;
      this.#longestWait = Math.min(2 * this.#longestWait, LONGEST_BACKOFF);
    }
    const left = this.#timeLeft();
    return left === null || wait < left ? wait : null;
  }

  /** Return whether the same request may be repeated, whatever happened to this one. */
  #isRepeatable(error: ClientError): boolean {
    const status = error instanceof HTTPError ? error.statusCode : null;
    if (this.call.pace === "run") {
      return error.outcome === "not_sent" || (error.outcome === "rejected" && (status === 429 || status === 503));
    }
    if (status !== null) return RETRIED.has(status);
    return error instanceof ClientConnectionError || error instanceof ClientTimeoutError;
  }

  /** Return whether a run may still be running after this error. A time limit is the caller's: it ends the wait. */
  #isInterrupted(error: ClientError): boolean {
    return this.call.pace === "run" && error.outcome === "unknown" && !(error instanceof ClientTimeoutError);
  }

  /** Return whether the agent attaches a repeated request to the run of its key; ask it if that is unknown. */
  async #agentKeepsRuns(): Promise<boolean> {
    if (this.session.features === null) {
      const health = await this.#aside("health_check", "/health/", this.allowance.maxRetries);
      const listed = (health as { features?: unknown } | null)?.features;
      if (health !== null) this.session.features ??= featuresOf(Array.isArray(listed) ? listed : []);
    }
    return this.session.features?.has("idempotent-runs") ?? false;
  }

  /** Ask the agent whether the run of this key exists and has not ended. */
  async #isGoingOn(): Promise<boolean> {
    const key = encodeURIComponent(this.#request.headers["idempotency-key"] ?? "");
    const jobs = await this.#aside("list_jobs", `/jobs/?limit=1&idempotency_key=${key}`, 0);
    const newest = Array.isArray(jobs) ? (jobs[0] as { status?: unknown } | null | undefined) : null;
    return newest?.status === "PENDING" || newest?.status === "RUNNING";
  }

  /** Make another call in between; null if that fails. */
  async #aside(operation: "health_check" | "list_jobs", target: string, maxRetries: number): Promise<unknown> {
    const request = { method: "GET", url: this.session.baseUrl + target, headers: this.session.headers, body: null };
    const shape = operation === "health_check" ? "object" : "array";
    const call: Call = { operation, pace: "control", shape, request };
    try {
      const answer = await new Exchange(call, this.session, { ...this.allowance, maxRetries }, this.end).run();
      return parseJson(answer.body);
    } catch (error) {
      if (error instanceof ClientError) return null;
      throw error;
    }
  }

  #backoff(error: ClientError): number {
    if (error instanceof HTTPError && error.retryAfter !== null) {
      return Math.min(error.retryAfter, LONGEST_RETRY_AFTER);
    }
    return this.session.chance.uniform(0, this.#longestWait);
  }

  /** Record the attempt, and add to the error what all attempts show together. */
  #note(error: ClientError, wait: number | null): void {
    const status = error instanceof ClientTimeoutError ? null : error.statusCode;
    this.#attempts.push({
      status,
      error: status === null ? error.name : null,
      wait: wait ?? 0,
      requestId: error.requestId,
    });
    error.attempts = [...this.#attempts];
    error.idempotencyKey = this.#request.headers["idempotency-key"] ?? null;
    if (this.#mayHaveRun && error.outcome !== "executed") {
      error.outcome = "unknown";
    }
    this.#mayHaveRun = error.outcome === "unknown";
  }

  #timeLeft(): number | null {
    return this.end === null ? null : this.end - this.session.chance.now();
  }
}

function featuresOf(names: readonly unknown[]): ReadonlySet<string> {
  return new Set(names.map((name) => String(name).trim().toLowerCase()));
}
