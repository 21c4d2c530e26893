/** Small pieces that several views share. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

import type { AgentError } from "./api.ts";
import { duration, seconds } from "./format.ts";
import type { Job } from "./api.ts";

/** An error, with the message of the agent. */
export function Failure({ error }: { error: AgentError | null }) {
  return error && <p class="failure" role="alert">{error.message}</p>;
}

/** A job's status, in words and a color. */
export function Status({ status }: { status: string }) {
  return <span class={`status status-${status.toLowerCase()}`}>{status}</span>;
}

/** How long a job has run, or runs. */
export function Elapsed({ job }: { job: Job }) {
  const isRunning = job.status === "RUNNING";
  useTick(isRunning);
  const passed = seconds(job.started_at, job.finished_at);
  return <>{passed === null ? "" : duration(passed)}</>;
}

/** Render again every second while `isOn`. */
export function useTick(isOn: boolean): void {
  const [, setTick] = useState(0);
  useEffect(() => {
    if (!isOn) return;
    const timer = setInterval(() => setTick((tick) => tick + 1), 1000);
    return () => clearInterval(timer);
  }, [isOn]);
}

/** A table whose rows scroll sideways on a narrow screen. */
export function Table({ head, children, label }: { head: string[]; children: ComponentChildren; label: string }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>{head.map((title) => <th key={title} scope="col">{title}</th>)}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** A progress bar with its numbers. */
export function Progress({ job }: { job: Job }) {
  const progress = job.progress;
  if (!progress || typeof progress.current !== "number") return null;
  const total = typeof progress.total === "number" && progress.total > 0 ? progress.total : null;
  const text = [progress.step, total ? `${progress.current} of ${total}` : `${progress.current}`].filter(Boolean).join(": ");
  return (
    <label class="progress">
      {total ? <progress max={total} value={progress.current} aria-label={`Progress of ${job.job_id}`} /> : null} {text}
    </label>
  );
}

/** A button that runs an asynchronous function, and shows that it is running, or its error. */
export function ActionButton({ act, children, confirm: question, kind = "" }: {
  act: () => Promise<unknown>;
  children: ComponentChildren;
  confirm?: string;
  kind?: string;
}) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<AgentError | null>(null);
  const click = async () => {
    if (question && !confirm(question)) return;
    setBusy(true);
    setError(null);
    try {
      await act();
    } catch (caught) {
      setError(caught as AgentError);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button type="button" class={kind} disabled={isBusy} onClick={() => void click()}>{children}</button>
      <Failure error={error} />
    </>
  );
}
