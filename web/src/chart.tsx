/** Runs, failures and durations over the last hour or day. */

import { useState } from "preact/hooks";

import { api, content } from "./api.ts";
import { duration } from "./format.ts";
import { useLoaded } from "./live.ts";
import { Failure } from "./parts.tsx";

const WIDTH = 720;
const HEIGHT = 120;

/** The chart, with a choice of the span. */
export function Chart() {
  const [hours, setHours] = useState(1);
  const query = { hours, buckets: hours === 1 ? 60 : 48 };
  const { value, error } = useLoaded(() => content(api.GET("/job_statistics/", { params: { query } })), [hours], ["job"]);
  const buckets = value?.buckets ?? [];
  const most = Math.max(1, ...buckets.map((bucket) => bucket.runs));
  const longest = Math.max(0.001, ...buckets.map((bucket) => bucket.seconds ?? 0));
  const step = WIDTH / Math.max(1, buckets.length);
  const runs = buckets.reduce((sum, bucket) => sum + bucket.runs, 0);
  const failed = buckets.reduce((sum, bucket) => sum + bucket.failed, 0);
  const points = buckets.map((bucket, index) => [step * (index + 0.5), HEIGHT - (HEIGHT * (bucket.seconds ?? 0)) / longest, bucket.seconds] as const)
    .filter(([, , seconds]) => seconds !== null);
  const part = hours === 1 ? "minute" : "half hour";
  const text = `${runs} runs, ${failed} failed; at most ${most} in a ${part}, which took up to ${duration(longest)} on average`;
  return (
    <section>
      <div class="bar">
        <h2>Runs</h2>
        <label>Span <select value={hours} onChange={(event) => setHours(Number(event.currentTarget.value))}>
          <option value={1}>last hour</option>
          <option value={24}>last day</option>
        </select></label>
        <span>{text}</span>
      </div>
      <Failure error={error} />
      <svg class="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={text} preserveAspectRatio="none">
        {buckets.map((bucket, index) => {
          const height = (HEIGHT * bucket.runs) / most;
          const bad = (HEIGHT * bucket.failed) / most;
          return (
            <g key={bucket.start}>
              <title>{`${new Date(bucket.start).toLocaleTimeString()}: ${bucket.runs} runs, ${bucket.failed} failed`}</title>
              <rect class="runs" x={step * index + 1} width={Math.max(1, step - 2)} y={HEIGHT - height} height={height} />
              <rect class="failed" x={step * index + 1} width={Math.max(1, step - 2)} y={HEIGHT - bad} height={bad} />
            </g>
          );
        })}
        <polyline class="seconds" points={points.map(([x, y]) => `${x},${y}`).join(" ")} />
      </svg>
      <p class="legend"><span class="key-runs">runs</span> <span class="key-failed">failed</span> <span class="key-seconds">average duration</span></p>
    </section>
  );
}
