/** Errors of the client; each states what happened to the request. The tree is that of the Python client. */

/**
 * What became of a request that failed. `not_sent`: nothing left this machine. `rejected`: refused before anything ran.
 * `executed`: it ran, the error is about how it ended. `unknown`: it may have run.
 */
export type Outcome = "not_sent" | "rejected" | "executed" | "unknown";

/** One try at a call: the status that came back, or the error instead of one. */
export interface Attempt {
  status: number | null;
  error: string | null;
  /** Seconds waited after this try, before the next. */
  wait: number;
  requestId: string | null;
}

/** The data of an error, besides its message. */
export interface Facts {
  statusCode?: number | null;
  detail?: unknown;
  errorType?: string | null;
  outcome?: Outcome;
  requestId?: string | null;
  retryAfter?: number | null;
}

/** Root of all errors that a client throws for a call. */
export class ClientError extends Error {
  readonly statusCode: number | null;
  /** The answer's whole body, parsed, or its text if it is not JSON; the message without an answer. */
  readonly detail: unknown;
  /** The agent's stable name for the error; newer agents have more of them than this client knows. */
  readonly errorType: string | null;
  readonly requestId: string | null;
  outcome: Outcome;
  attempts: readonly Attempt[] = [];
  idempotencyKey: string | null = null;

  constructor(message: string, facts: Facts = {}) {
    super(message);
    this.name = new.target.name;
    this.statusCode = facts.statusCode ?? null;
    this.detail = "detail" in facts ? facts.detail : message;
    this.errorType = facts.errorType ?? null;
    this.outcome = facts.outcome ?? "unknown";
    this.requestId = facts.requestId ?? null;
  }

  /** One line: status, kind, message, and what became of the request. */
  override toString(): string {
    const head = [this.statusCode, this.errorType].filter((part) => part !== null).join(" ");
    const facts = [
      `outcome=${this.outcome}`,
      ...(this.attempts.length > 1 ? [`attempts=${this.attempts.length}`] : []),
      ...(this.requestId !== null ? [`request_id=${this.requestId}`] : []),
      ...(this.idempotencyKey !== null ? [`idempotency_key=${this.idempotencyKey}`] : []),
    ];
    return oneLine(`${head ? `${head}: ` : ""}${this.message} [${facts.join(" ")}]`);
  }
}

/** No connection to the agent, or it broke. */
export class ClientConnectionError extends ClientError {}

/** The connection broke after the request had left: it may have been carried out. */
export class ClientResponseIncompleteError extends ClientConnectionError {}

/** Connecting, reading the answer, or the whole call took longer than allowed. */
export class ClientTimeoutError extends ClientError {
  constructor(message: string, facts: Facts = {}) {
    super(message, { ...facts, statusCode: 408 });
  }
}

/** The answer violates the contract: not JSON, or JSON of another kind. */
export class ResponseParseError extends ClientError {}

/** The agent, or a proxy on the way to it, answered with an error status. */
export class HTTPError extends ClientError {
  /** Seconds to wait before the next try, if the answer had them. */
  readonly retryAfter: number | null;

  constructor(message: string, facts: Facts = {}) {
    super(message, facts);
    this.retryAfter = facts.retryAfter ?? null;
  }
}

/** 401: the token is missing or wrong. */
export class AuthenticationError extends HTTPError {}

/** 403: the agent does not allow this. */
export class AuthorizationError extends HTTPError {}

/** 404: there is no such release, job or page. */
export class NotFoundError extends HTTPError {}

/** 409: it conflicts with existing data, such as the `job_id` of another run. */
export class ConflictError extends HTTPError {}

/** 400 or 422: the agent refused the request before anything ran. */
export class ValidationError extends HTTPError {}

/** 422 `requirements_failed`: the run's requirements could not be installed. */
export class RequirementsError extends ValidationError {
  /** The installer's own last lines. */
  get installerOutput(): string {
    return fieldOf(this, "installer_output") ?? "";
  }
}

/** 429: too much at once; `retryAfter` has the seconds to wait. */
export class RateLimitError extends HTTPError {}

/** 5xx: the agent, the action or a proxy failed; `outcome` shows whether the action ran. */
export class ServerError extends HTTPError {}

/** 500 `action_failed`: the action ran and raised an exception. */
export class ActionFailedError extends ServerError {
  get jobId(): string | null {
    return fieldOf(this, "job_id");
  }
  get exceptionType(): string | null {
    return fieldOf(this, "exception_type");
  }
  get exceptionMessage(): string | null {
    return fieldOf(this, "exception_message");
  }
  get traceback(): string | null {
    return fieldOf(this, "traceback");
  }
}

/** A lookup that can't name a release; thrown before anything is sent. */
export class InvalidLookupError extends ClientError {
  constructor(message: string) {
    super(message, { outcome: "not_sent" });
  }
}

/** Put a text on one line. */
export function oneLine(text: string): string {
  return text.split(/[\s\u001c-\u001e\u0085]+/u).filter(Boolean).join(" ");
}

function fieldOf(error: ClientError, name: string): string | null {
  const inner = (error.detail as { detail?: Record<string, unknown> } | null)?.detail;
  const value = inner?.[name] ?? null;
  return value === null ? null : String(value);
}
