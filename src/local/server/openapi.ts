/** The API's own description: `/openapi.json`, and `/docs`, a page made of it that needs nothing from elsewhere. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as OpenApi from "@effect/platform/OpenApi"
import { ContreeApi } from "../../ContreeApi.js"

/** A newer server may add fields, so readers must let them be. */
const document = {
  ...OpenApi.fromApi(ContreeApi, { additionalPropertiesStrategy: "allow" }),
  servers: [{ url: "/" }]
}

const json = JSON.stringify(document)

const escaped = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`)

const block = (value: unknown) => `<pre>${escaped(JSON.stringify(value, undefined, 2))}</pre>`

const referenced = (text: string) =>
  text.replace(/&#34;#\/components\/schemas\/([\w.-]+)&#34;/g, '<a href="#schema-$1">$1</a>')

const parameters = (operation: OpenApi.OpenAPISpecOperation) =>
  operation.parameters.length === 0
    ? ""
    : `<table><tr><th>parameter</th><th>in</th><th>schema</th></tr>${operation.parameters
        .map(
          ({ in: place, name, required, schema }) =>
            `<tr><td><code>${escaped(name)}</code>${required ? " (required)" : ""}</td><td>${place}</td><td><code>${referenced(
              escaped(JSON.stringify(schema))
            )}</code></td></tr>`
        )
        .join("")}</table>`

const contents = (content: object | undefined) =>
  Object.entries(content ?? {})
    .map(([type, media]) => `<p><code>${escaped(type)}</code></p>${referenced(block(media))}`)
    .join("")

const endpoint = (method: string, path: string, operation: OpenApi.OpenAPISpecOperation) => `<details>
<summary><b>${method.toUpperCase()}</b> <code>${escaped(path)}</code></summary>
${parameters(operation)}
${operation.requestBody === undefined ? "" : `<h4>Body</h4>${contents(operation.requestBody.content)}`}
${Object.entries(operation.responses)
  .map(
    ([status, { content, description }]) =>
      `<details><summary>${escaped(status)} ${escaped(description)}</summary>${contents(content)}</details>`
  )
  .join("\n")}
</details>`

const methods = ["get", "head", "post", "put", "patch", "delete"] as const

const page = () => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ConTree API</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
details{margin:.3rem 0 .3rem 1rem}summary{cursor:pointer}pre{overflow:auto;padding:.5rem;border:1px solid #8888}
table{border-collapse:collapse}td,th{border:1px solid #8888;padding:.2rem .5rem;text-align:left}
</style></head><body>
<h1>ConTree API</h1>
<p>Every request bears a token: <code>Authorization: Bearer …</code>. The same as data:
<a href="openapi.json">openapi.json</a>.</p>
${document.tags
  .map(
    ({ name }) => `<h2>${escaped(name)}</h2>
${Object.entries(document.paths)
  .flatMap(([path, item]) =>
    methods.flatMap((method) => {
      const operation = item[method]
      return operation?.tags.includes(name) === true ? [endpoint(method, path, operation)] : []
    })
  )
  .join("\n")}`
  )
  .join("\n")}
<h2>Schemas</h2>
${Object.entries(document.components.schemas)
  .map(
    ([name, schema]) =>
      `<details id="schema-${escaped(name)}"><summary>${escaped(name)}</summary>${referenced(block(schema))}</details>`
  )
  .join("\n")}
</body></html>
`

export const openApi = HttpServerResponse.text(json, { contentType: "application/json" })

/** Nothing on the page runs, and nothing is loaded. */
export const docs = () =>
  HttpServerResponse.text(page(), {
    contentType: "text/html; charset=utf-8",
    headers: { "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'" }
  })
