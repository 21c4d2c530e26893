/** A JSON value as a tree that folds; large parts open on demand. */

import { useState } from "preact/hooks";

import type { Json } from "./api.ts";

const FIRST = 100;
/** Entries of one level that are shown at once. */

/** A value, with its name in the value that contains it. */
export function JsonTree({ value, name, isOpen = true }: { value: Json; name?: string; isOpen?: boolean }) {
  const [most, setMost] = useState(FIRST);
  const label = name === undefined ? null : <span class="key">{name}: </span>;
  if (value === null || typeof value !== "object")
    return <div class="leaf">{label}<span class={`json-${value === null ? "null" : typeof value}`}>{JSON.stringify(value)}</span></div>;
  const entries: [string, Json][] = Array.isArray(value) ? value.map((each, index) => [`${index}`, each]) : Object.entries(value);
  const count = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
  if (!entries.length) return <div class="leaf">{label}{Array.isArray(value) ? "[]" : "{}"}</div>;
  return (
    <details open={isOpen && entries.length <= FIRST}>
      <summary>{label}<span class="count">{count}</span></summary>
      <div class="children">
        {entries.slice(0, most).map(([key, each]) => <JsonTree key={key} name={key} value={each} isOpen={entries.length <= 10} />)}
        {entries.length > most && (
          <button type="button" onClick={() => setMost(most + 10 * FIRST)}>{entries.length - most} more</button>
        )}
      </div>
    </details>
  );
}
