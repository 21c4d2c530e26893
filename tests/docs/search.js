// Searches the built site with its own worker: `node search.js SITE QUERY…` prints the addresses found for each query.
const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const [site, ...queries] = process.argv.slice(2);
const folder = path.join(site, "assets/javascripts/workers");
const [worker] = fs.readdirSync(folder).filter((name) => name.startsWith("search."));
const index = JSON.parse(fs.readFileSync(path.join(site, "search.json"), "utf8"));
const [SETUP, QUERY, FAILED] = [0, 2, 4];

/** Send a message to the worker, and return its answer. */
function ask(type, data) {
  return new Promise((resolve, reject) => {
    scope.postMessage = (answer) => (answer.type === FAILED ? reject(new Error("The search failed.")) : resolve(answer.data));
    scope.onmessage({ data: { type, data } });
  });
}

const scope = vm.createContext({ Intl });
scope.self = scope;
vm.runInContext(fs.readFileSync(path.join(folder, worker), "utf8"), scope);

async function main() {
  const found = {};
  await ask(SETUP, index);
  for (const input of queries) {
    // The site's search field sends this.
    const filter = {
      input: { type: "operator", data: { operator: "and", operands: [] } },
      aggregation: { input: [{ type: "term", data: { field: "tags" } }] },
    };
    const { items } = await ask(QUERY, { input, filter });
    found[input] = items.map((item) => index.items[item.id].location);
  }
  console.log(JSON.stringify(found));
}

main();
