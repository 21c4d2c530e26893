/** One job: its request and caller, its progress, its output, and its result. */

import { useEffect } from "preact/hooks";

import { api, BASE, content, type Job, type Json } from "./api.ts";
import { duration, size, time } from "./format.ts";
import { JsonTree } from "./json_tree.tsx";
import { useChanges, useLoaded } from "./live.ts";
import { Log, type JobEvent } from "./log.tsx";
import { ActionButton, Elapsed, Failure, Progress, Status } from "./parts.tsx";
import { address } from "./route.ts";

const IMAGES = /^image\/(png|jpeg|gif|webp|avif)$/;
/** Types that are shown: none that can hold a script. */

/** The view at `#/jobs/ID`. */
export function JobView({ job_id }: { job_id: string }) {
  const params = { path: { job_id } };
  const { value: job, error, reload } = useLoaded(() => content(api.GET("/jobs/{job_id}/", { params })), [job_id], []);
  useChanges((change) => {
    if (change.job?.job_id === job_id || change.job_id === job_id) reload();
  });
  useEffect(() => {
    document.title = job ? `${job.status} · ${job.action}` : "Job";
  }, [job?.status]);
  if (!job) return <main><h1>Job {job_id}</h1><Failure error={error} /></main>;
  const isOver = job.finished_at !== null;
  return (
    <main>
      <h1>{job.action} <Status status={job.status} /></h1>
      <Failure error={error} />
      <div class="bar">
        {!isOver && <ActionButton kind="danger" act={() => content(api.POST("/jobs/{job_id}/stop/", { params }))}>Stop</ActionButton>}
        {job.release && <a class="button" href={address(["releases", job.release, job.action], again(job))}>Run again</a>}
        {isOver && (
          <ActionButton confirm={`Delete job ${job_id}, with its log and result?`}
            act={async () => {
              await content(api.DELETE("/jobs/{job_id}/", { params }));
              location.hash = address(["jobs"]);
            }}>Delete</ActionButton>
        )}
      </div>
      <Progress job={job} />
      <Facts job={job} />
      {job.params && <section><h2>Params</h2><JsonTree value={job.params as Json} /></section>}
      <Outcome job={job} isOver={isOver} />
      <Events events={(job["events"] ?? []) as JobEvent[]} />
      <Log job={job} onEnd={reload} />
    </main>
  );
}

function again(job: Job): URLSearchParams {
  const query = new URLSearchParams();
  if (job.params) query.set("params", JSON.stringify(job.params));
  return query;
}

function Facts({ job }: { job: Job }) {
  const caller = (job.caller ?? {}) as Record<string, Json>;
  const timings = Object.entries((job["timings"] ?? {}) as Record<string, number | null>);
  const rows: [string, unknown][] = [
    ["Job", job.job_id],
    ["Release", job.release ?? "debug run"],
    ["Method", job.method],
    ["Created", time(job.created_at)],
    ["Started", time(job.started_at)],
    ["Finished", time(job.finished_at)],
    ["Time", <Elapsed job={job} />],
    ...timings.filter(([, value]) => value !== null).map(([name, value]): [string, unknown] => [`… ${name}`, duration(Number(value))]),
    ["Requirements", (job.requirements ?? []).join(", ")],
    ["Node", job.node],
    ["Attempts", (job.attempts ?? 1) > 1 ? job.attempts : null],
    ["Token", caller["token"]],
    ["Address", caller["address"]],
    ["Program", caller["user_agent"]],
    ["Request", caller["request_id"]],
  ];
  return (
    <dl class="facts">
      {rows.filter(([, value]) => value).map(([name, value]) => (
        <div key={name}><dt>{name}</dt><dd>{value as string}</dd></div>
      ))}
    </dl>
  );
}

function Outcome({ job, isOver }: { job: Job; isOver: boolean }) {
  if (job.error) {
    const error = job.error as Record<string, Json>;
    return (
      <section>
        <h2>Error</h2>
        <p class="failure">{String(error["error_type"] ?? "")}: {String(error["message"] ?? "")}</p>
        {typeof error["traceback"] === "string" && <pre tabIndex={0} aria-label="Traceback">{error["traceback"]}</pre>}
        <Files job={job} />
      </section>
    );
  }
  if (!isOver) return null;
  return (
    <section>
      <h2>Result</h2>
      <JsonTree value={(job.result ?? null) as Json} />
      {job.nonfinite && <p class="dim">null stands for {job.nonfinite.places.map(({ path, value }) => `${value} at ${path}`).join(", ")}
        {job.nonfinite.count > job.nonfinite.places.length && ` and ${job.nonfinite.count - job.nonfinite.places.length} more`}.</p>}
      <Files job={job} />
    </section>
  );
}

function Files({ job }: { job: Job }) {
  const params = { path: { job_id: job.job_id } };
  const { value } = useLoaded(() => content(api.GET("/jobs/{job_id}/files/", { params })), [job.job_id, job.status], []);
  if (!value?.length) return null;
  return (
    <>
      <h3>Files</h3>
      <ul class="files">
        {value.map((file) => {
          const url = new URL(`jobs/${encodeURIComponent(job.job_id)}/files/content/?name=${encodeURIComponent(file.name)}`, BASE).href;
          return (
            <li key={file.name}>
              <a href={url} download={file.name}>{file.name}</a> {size(file.size)}
              {IMAGES.test(file.media_type ?? "") && <img src={url} alt={file.name} loading="lazy" />}
            </li>
          );
        })}
      </ul>
    </>
  );
}

function Events({ events }: { events: JobEvent[] }) {
  if (!events.length) return null;
  return (
    <section>
      <h2>Events</h2>
      <ul class="events">
        {events.map((event, index) => (
          <li key={index}>{time(event.at)} <strong>{event.event}</strong> {event.data != null && <JsonTree value={event.data} isOpen={false} />}</li>
        ))}
      </ul>
    </section>
  );
}
