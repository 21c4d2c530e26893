/** The list of jobs: filters, newest first, page by page, live. */

import { useEffect, useState } from "preact/hooks";

import { api, content, type Job } from "./api.ts";
import { time } from "./format.ts";
import { useChanges, useLoaded } from "./live.ts";
import { Elapsed, Failure, Progress, Status, Table } from "./parts.tsx";
import { address } from "./route.ts";

const PAGE = 50;
const STATUSES = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"];
const SPANS: Record<string, number> = { "last hour": 3600, "last day": 86400, "last week": 604800 };
export const FILTERS = ["status", "release", "action", "job_id_prefix", "since"] as const;

function filters(query: URLSearchParams): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of FILTERS) {
    const value = query.get(name);
    if (!value) continue;
    if (name === "since") found["created_after"] = new Date(Date.now() - (SPANS[value] ?? 0) * 1000).toISOString();
    else found[name] = value;
  }
  return found;
}

function load(query: URLSearchParams, before?: string): Promise<Job[]> {
  const wanted = { ...filters(query), limit: PAGE, ...(before ? { before } : {}) };
  return content(api.GET("/jobs/", { params: { query: wanted } }));
}

interface Listed {
  /** The filters that the jobs were found with. */
  key: string;
  jobs: Job[];
  hasOlder: boolean;
}

/** Put the newest page before the jobs that are shown; drop these if there may be a gap between them. */
function merged(shown: Listed, key: string, page: Job[]): Listed {
  const isAll = page.length < PAGE;
  const last = shown.key === key && !isAll ? shown.jobs.findIndex((job) => job.job_id === page.at(-1)?.job_id) : -1;
  if (last < 0) return { key, jobs: page, hasOlder: !isAll };
  return { ...shown, jobs: [...page, ...shown.jobs.slice(last + 1)] };
}

/** The view at `#/jobs`. */
export function Jobs({ query }: { query: URLSearchParams }) {
  const key = query.toString();
  const [shown, setShown] = useState<Listed>({ key, jobs: [], hasOlder: false });
  const { value, error } = useLoaded(async () => ({ key, page: await load(query) }), [key], ["job", "job_deleted"]);
  useEffect(() => {
    if (value) setShown((before) => merged(before, value.key, value.page));
  }, [value]);
  useChanges(({ type, job, job_id }) => {
    if (type === "job_deleted") setShown((before) => ({ ...before, jobs: before.jobs.filter((each) => each.job_id !== job_id) }));
    if (job) setShown((before) => ({ ...before, jobs: before.jobs.map((each) => (each.job_id === job.job_id ? job : each)) }));
  });
  const { jobs } = shown;
  const more = async () => {
    const page = await load(query, jobs.at(-1)?.job_id);
    setShown((before) => (before.key === key ? { key, jobs: [...before.jobs, ...page], hasOlder: page.length === PAGE } : before));
  };
  return (
    <main>
      <h1>Jobs</h1>
      <Filters query={query} />
      <Failure error={error} />
      <Table label="Jobs" head={["Job", "Release", "Action", "Status", "Created", "Time"]}>
        {jobs.map((job) => <Row key={job.job_id} job={job} />)}
      </Table>
      {value?.key === key && !jobs.length && <p>No jobs{key ? " match these filters" : " yet"}.</p>}
      {shown.hasOlder && <button type="button" onClick={() => void more()}>Older jobs</button>}
    </main>
  );
}

function Row({ job }: { job: Job }) {
  return (
    <tr>
      <td><a href={address(["jobs", job.job_id])} title={job.job_id}>{job.job_id.slice(0, 12)}</a></td>
      <td>{job.release ?? "debug run"}</td>
      <td>{job.action}</td>
      <td><Status status={job.status} /> {job.status === "RUNNING" && <Progress job={job} />}</td>
      <td>{time(job.created_at)}</td>
      <td><Elapsed job={job} /></td>
    </tr>
  );
}

function Filters({ query }: { query: URLSearchParams }) {
  const change = (name: string, value: string) => {
    const next = new URLSearchParams(query);
    if (value) next.set(name, value);
    else next.delete(name);
    location.hash = address(["jobs"], next);
  };
  const text = (name: string, label: string, hint: string) => (
    <label>{label} <input type="search" placeholder={hint} value={query.get(name) ?? ""}
      onChange={(event) => change(name, event.currentTarget.value.trim())} /></label>
  );
  return (
    <form class="bar" role="search" onSubmit={(event) => event.preventDefault()}>
      <label>Status <select value={query.get("status") ?? ""} onChange={(event) => change("status", event.currentTarget.value)}>
        <option value="">all</option>
        {STATUSES.map((status) => <option key={status}>{status}</option>)}
      </select></label>
      <label>Time <select value={query.get("since") ?? ""} onChange={(event) => change("since", event.currentTarget.value)}>
        <option value="">all</option>
        {Object.keys(SPANS).map((span) => <option key={span}>{span}</option>)}
      </select></label>
      {text("release", "Release", "code@version")}
      {text("action", "Action", "train")}
      {text("job_id_prefix", "Job", "start of its ID")}
    </form>
  );
}
