/** Releases with their actions, and one of them with forms to run it. */

import { useState } from "preact/hooks";

import { api, content, type Action, type Release } from "./api.ts";
import { time } from "./format.ts";
import { useLoaded } from "./live.ts";
import { ActionButton, Failure, Table } from "./parts.tsx";
import { address } from "./route.ts";
import { RunForm } from "./run_form.tsx";

const PAGE = 100;

/** Return the lookup of a release. */
export function lookupOf(release: Release): string {
  return `${release.plugin}@${release.version}`;
}

/** The view at `#/releases`. */
export function Releases() {
  const [page, setPage] = useState(1);
  const { value, error } = useLoaded(
    () => content(api.GET("/plugin_releases/", { params: { query: { page, page_size: PAGE } } })), [page], ["release"]);
  const releases = value?.results ?? [];
  return (
    <main>
      <h1>Releases</h1>
      <Failure error={error} />
      <Create />
      <Table label="Releases" head={["Release", "Actions", "Cached"]}>
        {releases.map((release) => (
          <tr key={release.id}>
            <td><a href={address(["releases", lookupOf(release)])}>{lookupOf(release)}</a></td>
            <td>
              {(release.actions ?? []).map((action) => (
                <a key={action.name} class="action" href={address(["releases", lookupOf(release), action.name])}>{action.name}</a>
              ))}
            </td>
            <td>{time(release["created_at"] as string)}</td>
          </tr>
        ))}
      </Table>
      {value && !releases.length && <p>No release is cached yet. Create one above, or with <code>synapse-agent create</code>.</p>}
      {value && value.count > PAGE && (
        <nav class="bar" aria-label="Pages">
          <button type="button" disabled={page === 1} onClick={() => setPage(page - 1)}>Back</button>
          <span>Page {page} of {Math.ceil(value.count / PAGE)}</span>
          <button type="button" disabled={page * PAGE >= value.count} onClick={() => setPage(page + 1)}>Next</button>
        </nav>
      )}
    </main>
  );
}

function Create() {
  const [plugin, setPlugin] = useState("");
  const [version, setVersion] = useState("");
  const [refresh, setRefresh] = useState(false);
  const act = async () => {
    const release = await content(api.POST("/plugin_releases/", { body: { plugin: plugin.trim(), ...(version.trim() ? { version: version.trim() } : {}), refresh } }));
    location.hash = address(["releases", lookupOf(release)]);
  };
  return (
    <form class="bar" onSubmit={(event) => event.preventDefault()}>
      <label>Plugin <input type="text" value={plugin} onInput={(event) => setPlugin(event.currentTarget.value)} /></label>
      <label>Version <input type="text" size={8} value={version} onInput={(event) => setVersion(event.currentTarget.value)} /></label>
      <label><input type="checkbox" checked={refresh} onChange={(event) => setRefresh(event.currentTarget.checked)} /> Fetch again</label>
      <ActionButton act={act}>Create</ActionButton>
    </form>
  );
}

/** The view at `#/releases/LOOKUP` and `#/releases/LOOKUP/ACTION`. */
export function ReleaseView({ lookup, action, query }: { lookup: string; action: string | undefined; query: URLSearchParams }) {
  const params = { path: { lookup } };
  const { value: release, error } = useLoaded(
    () => content(api.GET("/plugin_releases/{lookup}", { params })), [lookup], ["release"]);
  if (!release) return <main><h1>{lookup}</h1><Failure error={error} /></main>;
  const actions = release.actions ?? [];
  const chosen = actions.find((each) => each.name === action) ?? (actions.length === 1 ? actions[0] : undefined);
  const warnings = (release["warnings"] ?? []) as string[];
  return (
    <main>
      <h1>{lookup}</h1>
      <Failure error={error} />
      {typeof release["description"] === "string" && <p>{release["description"]}</p>}
      {warnings.map((warning) => <p key={warning} class="warning">{warning}</p>)}
      <nav class="bar" aria-label="Actions">
        {actions.map((each) => (
          <a key={each.name} class="button" aria-current={each === chosen ? "page" : undefined} href={address(["releases", lookup, each.name])}>{each.name}</a>
        ))}
        <a href={address(["jobs"], new URLSearchParams({ release: lookup }))}>Its jobs</a>
        <ActionButton confirm={`Delete ${lookup} from this agent?`}
          act={async () => {
            await content(api.DELETE("/plugin_releases/{lookup}", { params }));
            location.hash = address(["releases"]);
          }}>Delete</ActionButton>
      </nav>
      {chosen && <ActionSection key={chosen.name} lookup={lookup} action={chosen} query={query} />}
    </main>
  );
}

function ActionSection({ lookup, action, query }: { lookup: string; action: Action; query: URLSearchParams }) {
  return (
    <section>
      <h2>{action.name}</h2>
      <p>
        {action.description ?? ""} <span class="dim">{action.method}</span>
      </p>
      <RunForm lookup={lookup} action={action} query={query} />
    </section>
  );
}
