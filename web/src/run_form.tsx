/** The form that runs an action: fields from the action's schema, or JSON; files by choosing or dropping them. */

import { useState } from "preact/hooks";

import { api, AgentError, content, type Action, type Json } from "./api.ts";
import { upload } from "./files.ts";
import { Failure } from "./parts.tsx";
import { address } from "./route.ts";

interface Schema {
  type?: string | string[];
  enum?: Json[];
  default?: Json;
  description?: string;
  title?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  anyOf?: Schema[];
  format?: string;
  writeOnly?: boolean;
}

type Values = Record<string, Json>;

/** The form of one action of a release. */
export function RunForm({ lookup, action, query }: { lookup: string; action: Action; query: URLSearchParams }) {
  const schema = (action["params_schema"] ?? null) as Schema | null;
  const given = query.get("params");
  const [values, setValues] = useState<Values>(() => parse(given) ?? {});
  const [text, setText] = useState(() => JSON.stringify(parse(given) ?? {}, null, 2));
  const hasFields = Object.keys(schema?.properties ?? {}).length > 0;
  const [asText, setAsText] = useState(!hasFields);
  const [error, setError] = useState<AgentError | null>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setError(null);
    setBusy(true);
    try {
      const params = asText ? parseOrFail(text) : values;
      const job = await content(
        api.POST("/plugin_releases/{lookup}/run/", {
          params: { path: { lookup }, header: { Prefer: "respond-async", "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") } },
          body: { action: action.name, params },
        }),
      );
      location.hash = address(["jobs", (job as { job_id: string }).job_id]);
    } catch (caught) {
      setError(caught as AgentError);
    } finally {
      setBusy(false);
    }
  };
  const change = () => {
    if (asText) setValues(parse(text) ?? values);
    else setText(JSON.stringify(values, null, 2));
    setAsText(!asText);
  };
  return (
    <form class="run" onSubmit={(event) => void submit(event)}>
      {asText ? (
        <label>Params as JSON
          <textarea rows={8} spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
      ) : (
        Object.entries(schema?.properties ?? {}).map(([name, field]) => (
          <Field key={name} name={name} schema={field} isRequired={(schema?.required ?? []).includes(name)}
            value={values[name]} onChange={(value) => setValues(withValue(values, name, value))} />
        ))
      )}
      <FileDrop onFile={(name, reference) => {
        if (asText) setText(JSON.stringify({ ...(parse(text) ?? {}), [name]: reference }, null, 2));
        else setValues({ ...values, [name]: reference });
      }} names={Object.keys(schema?.properties ?? {})} likely={fileParam(schema?.properties ?? {})} />
      <div class="bar">
        <button type="submit" disabled={isBusy}>Run {action.name}</button>
        {hasFields && <button type="button" onClick={change}>{asText ? "Form" : "JSON"}</button>}
      </div>
      <Failure error={error} />
    </form>
  );
}

function withValue(values: Values, name: string, value: Json | undefined): Values {
  const next = { ...values };
  if (value === undefined) delete next[name];
  else next[name] = value;
  return next;
}

function parse(text: string | null): Values | null {
  try {
    const value = JSON.parse(text ?? "") as unknown;
    return value && typeof value === "object" && !Array.isArray(value) ? (value as Values) : null;
  } catch {
    return null;
  }
}

function parseOrFail(text: string): Values {
  const params = parse(text || "{}");
  if (!params) throw new AgentError(0, "The params are not a JSON object, such as {\"epochs\": 3}.");
  return params;
}

function kind(schema: Schema): string {
  const types = [schema.type, ...(schema.anyOf ?? []).map((each) => each.type)].flat().filter((type) => type && type !== "null");
  return types.length === 1 ? String(types[0]) : "json";
}

function Field({ name, schema, isRequired, value, onChange }: {
  name: string;
  schema: Schema;
  isRequired: boolean;
  value: Json | undefined;
  onChange: (value: Json | undefined) => void;
}) {
  const id = `param-${name}`;
  const type = schema.enum ? "enum" : kind(schema);
  const hint = schema.default === undefined ? "" : JSON.stringify(schema.default);
  return (
    <div class="field">
      <label for={id}>{name}{isRequired ? " *" : ""}</label>
      {type === "enum" ? (
        <select id={id} required={isRequired} value={value === undefined ? "" : JSON.stringify(value)}
          onChange={(event) => onChange(event.currentTarget.value ? (JSON.parse(event.currentTarget.value) as Json) : undefined)}>
          <option value="">{hint}</option>
          {schema.enum?.map((each) => <option key={JSON.stringify(each)} value={JSON.stringify(each)}>{String(each)}</option>)}
        </select>
      ) : type === "boolean" ? (
        <input id={id} type="checkbox" checked={(value ?? schema.default) === true} onChange={(event) => onChange(event.currentTarget.checked)} />
      ) : type === "integer" || type === "number" ? (
        <input id={id} type="number" step={type === "integer" ? 1 : "any"} required={isRequired} placeholder={hint}
          value={typeof value === "number" ? value : ""}
          onInput={(event) => onChange(event.currentTarget.value === "" ? undefined : event.currentTarget.valueAsNumber)} />
      ) : type === "string" && typeof value !== "object" ? (
        <input id={id} {...(schema.writeOnly ? { type: "password" as const } : {})} required={isRequired} placeholder={hint}
          value={typeof value === "string" ? value : ""} onInput={(event) => onChange(event.currentTarget.value || undefined)} />
      ) : (
        <JsonField id={id} value={value} hint={hint} isRequired={isRequired} onChange={onChange} />
      )}
      {schema.description && <small>{schema.description}</small>}
    </div>
  );
}

function JsonField({ id, value, hint, isRequired, onChange }: {
  id: string;
  value: Json | undefined;
  hint: string;
  isRequired: boolean;
  onChange: (value: Json | undefined) => void;
}) {
  const [text, setText] = useState(value === undefined ? "" : JSON.stringify(value));
  return (
    <input id={id} type="text" required={isRequired} placeholder={hint || "JSON"} value={value === undefined ? text : JSON.stringify(value)}
      onInput={(event) => {
        const given = event.currentTarget.value;
        setText(given);
        try {
          onChange(given === "" ? undefined : (JSON.parse(given) as Json));
          event.currentTarget.setCustomValidity("");
        } catch {
          event.currentTarget.setCustomValidity("This is not JSON. Put text into quotes.");
        }
      }} />
  );
}

/** Return the param that a file is most likely meant for. */
function fileParam(properties: Record<string, Schema>): string | undefined {
  const names = Object.keys(properties);
  return names.find((name) => JSON.stringify(properties[name]).includes('"format":"path"'))
    ?? names.find((name) => ["string", "json"].includes(kind(properties[name] ?? {}))) ?? names[0];
}

function FileDrop({ names, likely, onFile }: { names: string[]; likely: string | undefined; onFile: (name: string, reference: Json) => void }) {
  const [note, setNote] = useState("");
  const [name, setName] = useState(likely ?? "file");
  const send = async (file: File | undefined) => {
    if (!file) return;
    try {
      const reference = await upload(file, (done) => setNote(`${file.name}: ${Math.round((100 * done) / Math.max(1, file.size))} %`));
      onFile(name, reference);
      setNote(`${file.name} is ${name}.`);
    } catch (error) {
      setNote((error as Error).message);
    }
  };
  return (
    <div class="drop" onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        void send(event.dataTransfer?.files[0]);
      }}>
      <label>A file as <input type="text" list="param-names" value={name} size={12} onInput={(event) => setName(event.currentTarget.value)} /></label>
      <datalist id="param-names">{names.map((each) => <option key={each} value={each} />)}</datalist>
      <label>drop it here or <input type="file" onChange={(event) => void send(event.currentTarget.files?.[0])} /></label>
      <span role="status">{note}</span>
    </div>
  );
}
