/** What the agent's machine or cluster has and holds: health, charts, environments, storage, models, nodes. */

import { api, content, type Json } from "./api.ts";
import { Chart } from "./chart.tsx";
import { JsonTree } from "./json_tree.tsx";
import { useLoaded } from "./live.ts";
import { Failure } from "./parts.tsx";

/** The view at `#/machine`. */
export function Machine() {
  const health = useLoaded(() => content(api.GET("/health/")), [], ["job", "environment"]);
  return (
    <main>
      <h1>Machine</h1>
      <Chart />
      <section>
        <h2>Health</h2>
        <Failure error={health.error} />
        {health.value && <JsonTree value={health.value as Json} />}
      </section>
    </main>
  );
}
