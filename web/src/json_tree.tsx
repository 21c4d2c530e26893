/** A JSON value as people read it: a tree that folds, with tables, short lists in one line, and links to files. */

import { useState } from "preact/hooks";

import { BASE, type Json } from "./api.ts";
import { size } from "./format.ts";
import { Table } from "./parts.tsx";

const FIRST = 100;
/** Entries of one level that are shown at once. */
const MOST_COLUMNS = 12;

/** A value, with its name in the value that contains it. */
export function JsonTree({ value, name, isOpen = true }: { value: Json; name?: string; isOpen?: boolean }) {
  const [most, setMost] = useState(FIRST);
  const label = name === undefined ? null : <span class="key">{name}: </span>;
  if (!isObject(value)) return <div class="leaf">{label}<Scalar value={value} /></div>;
  const entries: [string, Json][] = Array.isArray(value) ? value.map((each, index) => [`${index}`, each]) : Object.entries(value);
  if (!entries.length) return <div class="leaf">{label}{Array.isArray(value) ? "[]" : "{}"}</div>;
  const file = fileIn(value);
  if (file) return <div class="leaf">{label}<FileLink file={file} /></div>;
  if (Array.isArray(value) && entries.length <= FIRST && !value.some(isLong))
    return <div class="leaf">{label}[{value.map((each, index) => <>{index > 0 && ", "}<Scalar value={each} /></>)}]</div>;
  const columns = columnsOf(value);
  const count = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
  const shown = entries.slice(0, most);
  return (
    <details open={isOpen && entries.length <= FIRST}>
      <summary>{label}<span class="count">{count}</span></summary>
      <div class="children">
        {columns ? <Rows columns={columns} rows={shown.map(([, row]) => row as Record<string, Json>)} />
          : shown.map(([key, each]) => <JsonTree key={key} name={key} value={each} isOpen={entries.length <= 10} />)}
        {entries.length > most && (
          <button type="button" onClick={() => setMost(most + 10 * FIRST)}>{entries.length - most} more</button>
        )}
      </div>
    </details>
  );
}

function Scalar({ value }: { value: Json }) {
  return <span class={`json-${value === null ? "null" : typeof value}`}>{JSON.stringify(value)}</span>;
}

function Rows({ columns, rows }: { columns: string[]; rows: Record<string, Json>[] }) {
  return (
    <div class="rows">
      <Table head={columns} label="Rows">
        {rows.map((row, index) => <tr key={index}>{columns.map((column) => <td key={column}><Scalar value={row[column] as Json} /></td>)}</tr>)}
      </Table>
    </div>
  );
}

interface File {
  id: string;
  name?: string;
  size?: number;
}

function FileLink({ file }: { file: File }) {
  const name = file.name ?? file.id;
  return <><a href={`${BASE}files/${encodeURIComponent(file.id)}/content/`} download={name}>{name}</a> {file.size !== undefined && size(file.size)}</>;
}

/** The file of a reference, `{"$file": {…}}`. */
function fileIn(value: Json): File | null {
  if (!isObject(value) || Array.isArray(value) || Object.keys(value).length !== 1) return null;
  const file = value["$file"];
  return file && isObject(file) && !Array.isArray(file) && typeof file["id"] === "string" ? (file as unknown as File) : null;
}

/** The keys of a list of objects that all have the same ones, and scalar values; null for anything else. */
function columnsOf(value: Json): string[] | null {
  if (!Array.isArray(value) || value.length < 2 || !value.every((row) => isObject(row) && !Array.isArray(row))) return null;
  const rows = value as Record<string, Json>[];
  const columns = Object.keys(rows[0] ?? {});
  const isRow = (row: Record<string, Json>) =>
    Object.keys(row).length === columns.length && columns.every((column) => column in row && !isObject(row[column] as Json));
  return columns.length && columns.length <= MOST_COLUMNS && rows.every(isRow) ? columns : null;
}

function isObject(value: Json): value is Json[] | { [key: string]: Json } {
  return value !== null && typeof value === "object";
}

function isLong(value: Json): boolean {
  return isObject(value) || (typeof value === "string" && value.length > 40);
}
