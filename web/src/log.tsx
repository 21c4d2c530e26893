/** A job's log as it arrives, with colors and a search, and with a limited number of lines in the page. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { spans } from "./ansi.ts";
import { BASE, type Job, type Json } from "./api.ts";

const MOST_LINES = 2000;
/** Limit on the lines in the page: the newest stay, and the download has all. */

const PAUSE = 200;
/** Milliseconds between two renderings of a log that grows. */

export interface JobEvent {
  event: string;
  data: Json;
  at?: string;
}

/** Follow a job's stream: its lines and events, from its start, through broken connections. */
export function useJobStream(job_id: string, onEnd: () => void): { lines: string[]; dropped: number } {
  const [state, setState] = useState<{ lines: string[]; dropped: number }>({ lines: [], dropped: 0 });
  useEffect(() => {
    let lines: string[] = [];
    let dropped = 0;
    let isOverwritten = false;
    let timer = 0;
    const show = () => {
      timer = 0;
      setState({ lines: lines.slice(), dropped });
    };
    const source = new EventSource(new URL(`jobs/${encodeURIComponent(job_id)}/logs/stream/`, BASE), { withCredentials: true });
    source.onmessage = (message) => {
      const event = JSON.parse(message.data) as { type: string; message?: string; overwritten?: boolean };
      if (event.type === "log") {
        if (isOverwritten) lines.pop();
        isOverwritten = event.overwritten ?? false;
        lines.push(event.message ?? "");
        if (lines.length > 1.2 * MOST_LINES) {
          dropped += lines.length - MOST_LINES;
          lines = lines.slice(-MOST_LINES);
        }
        timer ||= setTimeout(show, PAUSE);
      } else if (event.type === "complete") {
        source.close();
        onEnd();
      }
    };
    return () => {
      source.close();
      clearTimeout(timer);
      setState({ lines: [], dropped: 0 });
    };
  }, [job_id]);
  return state;
}

/** The log of a job. */
export function Log({ job, onEnd }: { job: Job; onEnd: () => void }) {
  const { lines, dropped } = useJobStream(job.job_id, onEnd);
  const [wanted, setWanted] = useState("");
  const box = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const shown = useMemo(() => {
    const text = wanted.toLowerCase();
    return text ? lines.filter((line) => line.toLowerCase().includes(text)) : lines;
  }, [lines, wanted]);
  useEffect(() => {
    if (box.current && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown]);
  const whole = new URL(`jobs/${encodeURIComponent(job.job_id)}/logs/`, BASE).href;
  return (
    <section aria-label="Log">
      <div class="bar">
        <h2>Log</h2>
        <label>Find <input type="search" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} /></label>
        <span role="status">{wanted ? `${shown.length} of ${lines.length} lines` : `${lines.length + dropped} lines`}</span>
        <a href={whole} download={`${job.job_id}.log`}>Download</a>
      </div>
      {dropped > 0 && <p>The first {dropped} lines are not shown here; the download has them.</p>}
      <div class="log" tabIndex={0} ref={box} role="log" aria-live="off" aria-label={`Output of ${job.job_id}`}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          isAtEnd.current = scrollHeight - scrollTop - clientHeight < 40;
        }}>
        {shown.map((line, index) => <Line key={dropped + index} text={line} />)}
      </div>
    </section>
  );
}

function Line({ text }: { text: string }) {
  return <div>{spans(text).map((span, index) => <span key={index} class={span.classes}>{span.text}</span>)}{text ? "" : " "}</div>;
}
