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
    plugins: [codeSamples],
    supportedSubmitMethods: globalThis.contract ? [] : ["get", "post", "put", "patch", "delete"],
    tryItOutEnabled: true,
    validatorUrl: null,
  });
})();

/** The contract of the agent that serves this page, with its own address in place of the one to fill in. */
async function ofThisAgent() {
  const answer = await fetch("openapi.json");
  const here = new URL(".", location.href).href.replace(/\/$/, "");
  const contract = await answer.json();
  [...Object.values(contract.paths).flatMap(Object.values), contract.components].forEach(describeExamples);
  return { ...contract, servers: [{ url: here, description: "This agent" }] };
}

/** Words an optional parameter's example instead of filling it in, where a reader would send it without meaning to. */
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
