/** The AsyncAPI document as a page: channels with who sends what on them, and every message with its schema and an example. */

import { el, fill } from "../parts/dom.js";
import { nameOf, prose, resolved, schemaTable } from "./asyncapi_schema.js";

const DOCUMENT = "/asyncapi.json";

function facts(entries) {
  const there = entries.filter(([, value]) => value);
  return el("dl", { class: "facts" }, ...there.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function code(value) {
  return el("pre", {}, el("code", {}, typeof value === "string" ? value : JSON.stringify(value, null, 2)));
}

function linksTo(references) {
  return references.flatMap((each, at) => [at ? ", " : "", el("a", { href: `#message-${nameOf(each)}` }, nameOf(each))]);
}

function operationOf(operation) {
  const reply = operation.reply?.messages ?? [];
  const answer = reply.length ? [" Answered by ", ...linksTo(reply), "."] : [];
  const who = operation.tags.some(({ name }) => name === "unit") ? "unit" : "cloud";
  return el("li", {}, el("span", { class: "badge" }, `${who} ${operation.action === "send" ? "sends" : "receives"}`), " ",
    `${operation.title}: `, ...linksTo(operation.messages), ".", ...answer);
}

function pairs(title, entries, columns) {
  return el("table", { class: "data" }, el("caption", {}, title),
    el("thead", {}, el("tr", {}, ...columns.map((each) => el("th", { scope: "col" }, each)))),
    el("tbody", {}, ...Object.entries(entries).map(([name, said]) =>
      el("tr", {}, el("th", { scope: "row" }, el("code", {}, name)), el("td", {}, el("div", {}, ...prose(String(said))))))));
}

function channelOf(spec, name, channel) {
  const servers = channel.servers.map((each) => [nameOf(each), resolved(spec, each)]);
  const operations = Object.values(spec.operations).filter((each) => nameOf(each.channel) === name);
  const heard = Object.entries(channel["x-request-headers"] ?? {});
  const query = channel.bindings?.ws?.query ?? operations.map((each) => each.bindings?.http?.query).find(Boolean);
  return el("article", { class: "card stack tight", id: `channel-${name}` },
    el("h3", {}, channel.title),
    ...prose(channel.description),
    facts([
      ["address", el("code", {}, channel.address)],
      ["server", servers.map(([key, server]) => `${key} (${server.protocol})`).join(", ")],
      ["signs in by", servers.flatMap(([, server]) => (server.security ?? []).map(nameOf)).join(", ")],
      ["to resume", heard.length ? heard.map(([header]) => header).join(", ") : ""],
      ["heartbeat", channel["x-heartbeat"] ? `a comment, every ${channel["x-heartbeat"].seconds} s` : ""],
    ]),
    query && Object.keys(query.properties ?? {}).length ? schemaTable(spec, query, "Query") : null,
    el("h4", {}, "Who says what"),
    el("ul", {}, ...operations.map(operationOf)),
    channel["x-close-codes"] ? pairs("Why it is closed", channel["x-close-codes"], ["code", "what it says"]) : null,
    channel["x-limits"] ? pairs("Limits, unless the operator says otherwise", channel["x-limits"], ["limit", "value"]) : null);
}

function layersOf(spec, layers) {
  if (!layers) return [];
  const inner = layers.at(-1);
  return [
    el("h4", {}, "What the bytes hold, from the outside"),
    el("ol", {}, ...layers.map((layer) => el("li", {},
      `${layer.is}: `, ...(layer.coseContentType ? [el("code", {}, layer.coseContentType), " in "] : []),
      ...(layer.message ? [el("code", {}, layer.message + (layer.member ? `.${layer.member}` : "")), " as "] : []),
      layer.contentType ? el("code", {}, layer.contentType) : null, ...(layer.description ? [" ", layer.description] : [])))),
    schemaTable(spec, inner.schema, `${inner.message}, in protobuf's JSON`),
  ];
}

function messageOf(spec, name, message) {
  const examples = (message.examples ?? []).flatMap((each) => [each.headers ? code(each.headers) : null, code(each.payload)]);
  if (message["x-example"]) examples.push(code(message["x-example"]));
  return el("article", { class: "card stack tight", id: `message-${name}` },
    el("h3", {}, name),
    ...prose(message.summary),
    facts([["calls itself", el("code", {}, message.name)], ["content type", el("code", {}, message.contentType)]]),
    message.headers ? schemaTable(spec, message.headers, "Headers") : null,
    schemaTable(spec, message.payload, "Payload"),
    ...layersOf(spec, message["x-layers"]),
    examples.length ? el("h4", {}, examples.length > 1 ? "Examples" : "Example") : null,
    ...examples);
}

function groupsOf(spec) {
  const groups = new Map(Object.keys(spec.servers).map((name) => [name, []]));
  for (const [name, channel] of Object.entries(spec.channels)) groups.get(nameOf(channel.servers[0])).push([name, channel]);
  return [...groups].filter(([, channels]) => channels.length);
}

function contentsOf(groups, messages) {
  const link = (prefix, name, title) => el("li", {}, el("a", { href: `#${prefix}-${name}` }, title));
  return el("details", { open: true }, el("summary", {}, "Contents"),
    el("ul", {},
      ...groups.flatMap(([, channels]) => channels.map(([name, channel]) => link("channel", name, `${channel.title} (${nameOf(channel.servers[0])})`))),
      ...messages.map((name) => link("message", name, name))));
}

/** Put the document into the page. */
export function show(spec, page = document) {
  const at = (id) => page.getElementById(id);
  const groups = groupsOf(spec);
  const messages = Object.entries(spec.components.messages);
  fill(at("title"), spec.info.title);
  fill(at("about"), ...prose(spec.info.description));
  fill(at("contents"), contentsOf(groups, messages.map(([name]) => name)));
  fill(at("channels"), ...groups.flatMap(([name, channels]) => [
    el("section", { class: "stack", "aria-labelledby": `server-${name}` },
      el("h2", { id: `server-${name}` }, `Channels: ${name}`),
      ...prose(spec.servers[name].description),
      ...channels.map(([key, channel]) => channelOf(spec, key, channel))),
  ]));
  fill(at("messages"), el("section", { class: "stack", "aria-labelledby": "all-messages" },
    el("h2", { id: "all-messages" }, "Messages"),
    ...messages.map(([name, message]) => messageOf(spec, name, message))));
}

async function open() {
  const response = await fetch(DOCUMENT, { credentials: "omit" });
  if (!response.ok) {
    document.getElementById("fault").textContent = "There is no AsyncAPI document here.";
    return;
  }
  show(await response.json());
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

await open();
