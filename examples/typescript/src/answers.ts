/** Check answers: a success is parsed into its JSON, everything else becomes a typed error. No I/O here. */

import { STATUS_CODES } from "node:http";

import {
  ActionFailedError,
  AuthenticationError,
  AuthorizationError,
  ConflictError,
  HTTPError,
  NotFoundError,
  type Outcome,
  RateLimitError,
  RequirementsError,
  ResponseParseError,
  ServerError,
  ValidationError,
  oneLine,
} from "./errors.js";

/** An HTTP response, read to its end. */
export interface Answer {
  status: number;
  headers: Headers;
  body: Uint8Array<ArrayBuffer>;
}

/** The expected body of a success; `bytes` accepts any. */
export type Shape = "object" | "array" | "any" | "empty" | "bytes";

const BY_STATUS: Record<number, typeof HTTPError> = {
  400: ValidationError,
  401: AuthenticationError,
  403: AuthorizationError,
  404: NotFoundError,
  409: ConflictError,
  422: ValidationError,
  429: RateLimitError,
};
const EXCERPT = 200;
const DATE = [
  /^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/, // the form that HTTP prescribes
  /^\w{6,9}, \d\d-\w{3}-\d\d [\d:]{8} GMT$/, // RFC 850
  /^\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}$/, // asctime
];

/** Throw a typed error, unless the answer is a success that matches the contract. */
export function judge(operation: string, shape: Shape, answer: Answer): void {
  if (answer.status < 200 || answer.status > 299) {
    throw httpError(answer);
  }
  if (shape !== "empty" && shape !== "bytes") {
    checkShape(operation, shape, answer);
  }
}

/** Return the error for a success whose body violates the contract. */
export function unreadable(answer: Answer, what: string): ResponseParseError {
  return new ResponseParseError(`The answer ${what}: ${description(answer)}`, {
    statusCode: answer.status,
    detail: parsed(answer),
    requestId: answer.headers.get("x-request-id"),
  });
}

/** Return the value of a JSON body; throw `SyntaxError` or `TypeError` for another one. */
export function parseJson(body: Uint8Array): unknown {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
}

function checkShape(operation: string, shape: "object" | "array" | "any", answer: Answer): void {
  let value: unknown;
  try {
    value = parseJson(answer.body);
  } catch (error) {
    throw unreadable(answer, `to ${operation} is not JSON (${String(error)})`);
  }
  const found = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  if (shape !== "any" && found !== shape) {
    throw unreadable(answer, `to ${operation} is a JSON ${found}, not an ${shape}`);
  }
}

function httpError(answer: Answer): HTTPError {
  const body = parsed(answer);
  const info = isObject(body) ? (body["detail"] ?? null) : null;
  const given = isObject(info) ? info["error_type"] : null;
  const errorType = typeof given === "string" ? given : null;
  const message = redirect(answer) ?? (explanation(info) || foreign(answer, body));
  return new (classOf(answer.status, errorType))(message, {
    statusCode: answer.status,
    detail: body,
    errorType,
    outcome: outcomeOf(answer, info !== null),
    requestId: answer.headers.get("x-request-id"),
    retryAfter: retryAfter(answer, Date.now() / 1000),
  });
}

function classOf(status: number, errorType: string | null): typeof HTTPError {
  if (status === 422 && errorType === "requirements_failed") return RequirementsError;
  if (status >= 500 && status < 600) return errorType === "action_failed" ? ActionFailedError : ServerError;
  return BY_STATUS[status] ?? HTTPError;
}

/** Return the outcome that a status proves: beyond 4xx, only an agent's own body is proof. */
function outcomeOf({ status, headers }: Answer, inContract: boolean): Outcome {
  if (status === 500 && inContract) return "executed";
  if (status >= 300 && status < 499) return "rejected";
  if (status === 503 && headers.has("retry-after")) return "rejected";
  return inContract && (status === 502 || status === 503) ? "rejected" : "unknown";
}

/** Return a body as JSON, else as text, or null if it is empty. */
function parsed(answer: Answer): unknown {
  const text = textOf(answer);
  if (!text.trim()) return null;
  try {
    return parseJson(answer.body);
  } catch {
    return text;
  }
}

function redirect({ status, headers }: Answer): string | null {
  const target = headers.get("location");
  if (status < 300 || status > 399 || target === null) return null;
  return `The agent's address redirects to ${target}. Redirects are not followed: use that address as baseUrl.`;
}

/** Return the text of an error body's `detail`, null if it does not match the contract. */
function explanation(info: unknown): string | null {
  if (typeof info === "string") return info;
  if (Array.isArray(info)) return info.map(explainItem).join("; ");
  if (isObject(info)) return "message" in info ? String(info["message"]) : JSON.stringify(info);
  return null;
}

function explainItem(item: unknown): string {
  if (!isObject(item)) return typeof item === "string" ? item : JSON.stringify(item);
  const where = Array.isArray(item["loc"]) ? item["loc"].join(".") : "";
  const what = String(item["msg"] || item["type"] || JSON.stringify(item));
  return where ? `${where}: ${what}` : what;
}

/** Describe an error answer that no agent wrote. */
function foreign(answer: Answer, body: unknown): string {
  const reason = STATUS_CODES[answer.status] ?? "Unknown status";
  return body === null ? `${reason}, with an empty body.` : `${reason}: ${description(answer)}`;
}

function description(answer: Answer): string {
  const kind = answer.headers.get("content-type") ?? "no content type";
  const text = oneLine(textOf(answer).slice(0, 4 * EXCERPT));
  const excerpt = text.length > EXCERPT ? `${text.slice(0, EXCERPT)}…` : text;
  return text ? `${answer.body.length} bytes of ${kind}: '${excerpt}'` : `an empty body of ${kind}`;
}

function textOf(answer: Answer): string {
  const charset = /charset="?([^";\s]+)/i.exec(answer.headers.get("content-type") ?? "")?.[1] ?? "utf-8";
  try {
    return new TextDecoder(charset).decode(answer.body);
  } catch {
    return new TextDecoder().decode(answer.body);
  }
}

/** Parse `Retry-After`, a number or a date, into seconds; null if it is invalid. */
export function retryAfter({ headers }: Answer, now: number): number | null {
  const header = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(header)) {
    const seconds = Number(header);
    return Number.isFinite(seconds) ? seconds : null;
  }
  if (!DATE.some((form) => form.test(header))) return null;
  const date = Date.parse(header.endsWith("GMT") ? header : `${header} GMT`) / 1000;
  return Number.isFinite(date) ? Math.max(0, date - now) : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
