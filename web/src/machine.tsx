/** What the agent's machine or cluster has and holds: charts, health, nodes, GPUs. */

import { api, content, type Json } from "./api.ts";
import { Chart } from "./chart.tsx";
import { size } from "./format.ts";
import { JsonTree } from "./json_tree.tsx";
import { useLoaded } from "./live.ts";
import { Failure, Table } from "./parts.tsx";

/** The view at `#/machine`. */
export function Machine() {
  const health = useLoaded(() => content(api.GET("/health/")), [], ["job", "environment"]);
  return (
    <main>
      <h1>Machine</h1>
      <Chart />
      <Nodes />
      <section>
        <h2>Health</h2>
        <Failure error={health.error} />
        {health.value && <JsonTree value={health.value as Json} />}
      </section>
    </main>
  );
}

function Nodes() {
  const { value, error } = useLoaded(() => content(api.GET("/resources/cluster/")), [], ["job"]);
  const nodes = value?.nodes ?? [];
  return (
    <section>
      <h2>Nodes</h2>
      <Failure error={error} />
      <Table label="Nodes" head={["Node", "State", "CPUs in use", "Memory in use", "GPUs"]}>
        {nodes.map((node) => (
          <tr key={node.node_id}>
            <td>{node.host_name ?? node.node_id}</td>
            <td>{node.state}</td>
            <td>{node.cpu ? `${node.cpu.used} of ${node.cpu.total}` : ""}</td>
            <td>{node.memory ? `${size(node.memory.used)} of ${size(node.memory.total)}` : ""}</td>
            <td>{(node.gpus ?? []).map((gpu) => <div key={gpu.index}>{gpu.name ?? gpu.index}{typeof gpu.utilization_gpu === "number" ? `, ${gpu.utilization_gpu} %` : ""}</div>)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
