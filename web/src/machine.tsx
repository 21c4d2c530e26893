/** The state of the agent's machine or cluster: charts, nodes, served models, environments, storage, health. */

import { api, content, type Json } from "./api.ts";
import { Chart } from "./chart.tsx";
import { size, time } from "./format.ts";
import { JsonTree } from "./json_tree.tsx";
import { useLoaded } from "./live.ts";
import { ActionButton, Failure, Table } from "./parts.tsx";

/** The view at `#/machine`. */
export function Machine() {
  const health = useLoaded(() => content(api.GET("/health/")), [], ["job", "environment"]);
  return (
    <main>
      <h1>Machine</h1>
      <Chart />
      <Nodes />
      <Served />
      <Environments />
      <Stores />
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

function Served() {
  const { value, reload } = useLoaded(() => content(api.GET("/serve_applications/")), [], ["job"]);
  if (!value?.length) return null;
  return (
    <section>
      <h2>Served models</h2>
      <Table label="Served models" head={["Action", "Status", "Workers", "Memory", "Calls", "Since", ""]}>
        {value.map((served) => (
          <tr key={served.name}>
            <td>{served.name}</td>
            <td>{served.status}</td>
            <td>{served.workers.map((worker) => worker.status).join(", ")}</td>
            <td>{size(served.workers.reduce((sum, worker) => sum + (worker.memory ?? 0), 0))}</td>
            <td>{served.calls}{served.waiting ? `, ${served.waiting} waiting` : ""}</td>
            <td>{time(served.since)}</td>
            <td><ActionButton act={async () => {
              await content(api.DELETE("/serve_applications/{name}/", { params: { path: { name: served.name } } }));
              reload();
            }}>End</ActionButton></td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

function Environments() {
  const { value, error } = useLoaded(() => content(api.GET("/environments/")), [], ["environment"]);
  return (
    <section>
      <h2>Environments</h2>
      <Failure error={error} />
      <Table label="Environments" head={["Environment", "Python", "Size", "Last used", "Requirements"]}>
        {(value ?? []).map((environment) => (
          <tr key={environment.id}>
            <td>{environment.id.slice(0, 12)}{environment.in_use ? ", in use" : ""}</td>
            <td>{environment.python}{environment.usable === false ? " (gone)" : ""}</td>
            <td>{size(environment.size)}</td>
            <td>{time(environment.last_used)}</td>
            <td class="wraps">{(environment.requirements ?? []).join(", ") || "none"}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

function Stores() {
  const { value, error } = useLoaded(() => content(api.GET("/storage/")), [], ["environment"]);
  return (
    <section>
      <h2>Storage</h2>
      <Failure error={error} />
      {value && <p>{size(value.disk_free)} of {size(value.disk_total)} free at {value.data_dir}</p>}
      <Table label="Storage" head={["What", "Size"]}>
        {(value?.stores ?? []).map((store) => <tr key={store.name}><td>{store.name}</td><td>{size(store.size)}</td></tr>)}
      </Table>
    </section>
  );
}
