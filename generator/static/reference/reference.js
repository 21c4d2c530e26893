"use strict";

// Shows the contract with Swagger UI. An agent serves the page at /docs: its requests go to that agent. As a file, the
// page has the contract in contract.js and no agent to ask.

(async () => {
  const contract = globalThis.contract ?? (await ofThisAgent());
  globalThis.reference = SwaggerUIBundle({
    spec: contract,
    dom_id: "#reference",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    plugins: [codeSamples, ownActions],
    supportedSubmitMethods: globalThis.contract ? [] : ["get", "post", "put", "patch", "delete"],
    tryItOutEnabled: true,
    validatorUrl: null,
  });
})();

/** Return the contract of the agent that serves this page, with the page's address as its only server. */
async function ofThisAgent() {
  const answer = await fetch("openapi.json");
  const here = new URL(".", location.href).href.replace(/\/$/, "");
  const contract = await answer.json();
  [...Object.values(contract.paths).flatMap(Object.values), contract.components].forEach(describeExamples);
  return { ...contract, servers: [{ url: here, description: "This agent" }] };
}

/** Move the examples of optional parameters into their descriptions: the page would fill them in and send them. */
function describeExamples({ parameters = {} }) {
  for (const parameter of Object.values(parameters)) {
    if (!parameter.required && "example" in parameter) {
      parameter.description += `\n\nFor example \`${JSON.stringify(parameter.example)}\`.`;
      delete parameter.example;
    }
  }
}

/** A plugin that shows an operation's `x-codeSamples` above its responses. */
function codeSamples({ React }) {
  const element = React.createElement;
  const sample = ({ label, source }) =>
    element("div", { key: label }, element("h4", null, label), element("pre", null, source));
  const withSamples = (Original) => (props) => {
    const samples = props.specSelectors.specJson().getIn(["paths", props.path, props.method, "x-codeSamples"]);
    const shown = samples && element("section", { className: "code-samples" }, samples.toJS().map(sample));
    return element(React.Fragment, null, shown, element(Original, props));
  };
  return { wrapComponents: { responses: withSamples } };
}

/** A plugin that offers the agent's own actions as examples of a run, once the reader has entered the token. */
function ownActions() {
  const authorize = (original, system) => (payload) => {
    const authorized = original(payload);
    offerActions(payload.agentToken?.value, system).catch(console.warn); // the page is complete without them
    return authorized;
  };
  return { statePlugins: { auth: { wrapActions: { authorize } } } };
}

/** Add an example for each action of each release that the agent has cached, with the action's params. */
async function offerActions(token, { specActions, specSelectors }) {
  const answer = await fetch("plugin_releases/?page_size=100", { headers: { Authorization: token } });
  if (!answer.ok) return; // the reader sees it when trying an operation
  const { results } = await answer.json();
  const found = results.flatMap((release) => (release.actions ?? []).map((action) => exampleOf(release, action)));
  const contract = specSelectors.specJson().toJS();
  const body = contract.paths["/plugin_releases/{lookup}/run/"].post.requestBody.content["application/json"];
  body.examples = { ...Object.fromEntries(found), ...body.examples };
  specActions.updateJsonSpec(contract);
}

/** Return the name of an action's example, and the example: a body to run it with, and a description of its params. */
function exampleOf({ plugin, version }, { name, description, params_schema: schema }) {
  const params = Object.entries(schema?.properties ?? {});
  const words = params.map(([param, { type, description: what }]) => {
    const needed = schema.required?.includes(param) ? "required" : "optional";
    return `- \`${param}\`: ${[type, needed, what].filter(Boolean).join(", ")}`;
  });
  const value = { action: name, params: schema ? sampleOf(schema, schema.$defs) : {} };
  const lookup = `${plugin}@${version}`;
  return [`${lookup} ${name}`, { summary: `${lookup}: ${name}`, description: [description, ...words].join("\n"), value }];
}

/** Return a value to begin with, which a JSON Schema usually allows: defaults, or empty values. */
function sampleOf(schema, definitions, depth = 0) {
  if (depth > 5) return null;
  if (schema.$ref) return sampleOf(definitions?.[schema.$ref.split("/").pop()] ?? {}, definitions, depth + 1);
  if ("default" in schema) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return sampleOf(schema.anyOf[0], definitions, depth + 1);
  if (schema.type !== "object") return { array: [], boolean: false, integer: 0, number: 0, string: "" }[schema.type] ?? null;
  const properties = Object.entries(schema.properties ?? {});
  return Object.fromEntries(properties.map(([name, each]) => [name, sampleOf(each, definitions, depth + 1)]));
}
