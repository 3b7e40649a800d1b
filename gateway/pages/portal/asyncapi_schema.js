/** What a schema of the AsyncAPI document says, as elements: one row for each member, also of what lies within. */

import { el } from "../parts/dom.js";

const MANY_WORDS = 8;
const LABELS = ["member", "type", "what"];

/** Return what a reference stands for, or the value itself. */
export function resolved(spec, value) {
  if (typeof value?.$ref !== "string") return value;
  const found = value.$ref.slice(2).split("/").reduce((part, name) => part[name], spec);
  return resolved(spec, found);
}

/** Return the last word of a reference. */
export function nameOf(reference) {
  return reference.$ref.slice(reference.$ref.lastIndexOf("/") + 1);
}

/** Return text with its `code`, its lists and its paragraphs as elements. */
export function prose(text) {
  const parts = [];
  for (const line of (text ?? "").split("\n").filter(Boolean)) {
    if (!line.startsWith("- ")) {
      parts.push(el("p", {}, ...words(line)));
      continue;
    }
    if (parts.at(-1)?.tagName.toLowerCase() !== "ul") parts.push(el("ul"));
    parts.at(-1).append(el("li", {}, ...words(line.slice(2))));
  }
  return parts;
}

function words(line) {
  return line.split("`").map((word, at) => (at % 2 ? el("code", {}, word) : word)).filter((word) => word !== "");
}

/** Return a schema with what its one `allOf` says, and the names of what it refers to. */
function merged(spec, schema, seen = []) {
  if (typeof schema.$ref === "string") return merged(spec, resolved(spec, schema), [...seen, nameOf(schema)]);
  if (schema.allOf?.length === 1) {
    const inner = merged(spec, schema.allOf[0], seen);
    return { schema: { ...inner.schema, ...(schema.description ? { description: schema.description } : {}) }, names: inner.names };
  }
  return { schema, names: seen };
}

function bounds(schema) {
  const said = [
    schema.minLength !== undefined && `at least ${schema.minLength} characters`,
    schema.maxLength !== undefined && `at most ${schema.maxLength} ${schema.format === "binary" ? "bytes" : "characters"}`,
    schema.minItems !== undefined && `at least ${schema.minItems}`,
    schema.maxItems !== undefined && `at most ${schema.maxItems}`,
    schema.minimum !== undefined && `from ${schema.minimum}`,
    schema.maximum !== undefined && `to ${schema.maximum}`,
  ];
  return said.filter(Boolean).join(", ");
}

/** Return a schema's type in a few words. */
export function typeOf(spec, given) {
  const { schema } = merged(spec, given);
  if (schema.const !== undefined) return `always ${JSON.stringify(schema.const)}`;
  if (schema.anyOf) return schema.anyOf.map((each) => typeOf(spec, each)).join(" or ");
  if (schema.enum) return "a word";
  if (schema.type === "array") return `list of ${typeOf(spec, schema.items)}`;
  return schema.format ? `${schema.type} (${schema.format})` : String(schema.type ?? "anything");
}

function wordsOf(schema) {
  const list = schema.enum ?? schema.anyOf?.find((each) => each.enum)?.enum;
  if (!list) return [];
  const shown = el("p", {}, ...list.flatMap((word, at) => [at ? ", " : "", el("code", {}, String(word))]).filter((each) => each !== ""));
  return list.length > MANY_WORDS ? [el("details", {}, el("summary", {}, `${list.length} words`), shown)] : [shown];
}

function row(spec, path, given, required) {
  const { schema } = merged(spec, given);
  const inner = schema.type === "array" ? merged(spec, schema.items).schema : schema;
  const rules = [bounds(schema), schema.pattern ?? inner.pattern].filter(Boolean);
  const said = prose(schema.description ?? inner.description);
  const many = (schema.description ?? inner.description ?? "").length > 600;
  return el("tr", {},
    el("th", { scope: "row", data: { label: LABELS[0] } }, el("div", {}, el("code", {}, path), required ? el("span", { class: "small muted" }, " required") : null)),
    el("td", { data: { label: LABELS[1] } }, typeOf(spec, given)),
    el("td", { data: { label: LABELS[2] } }, el("div", {},
      ...(many ? [el("details", {}, el("summary", {}, "What each means"), ...said)] : said),
      ...(many ? [] : wordsOf(inner)),
      rules.length ? el("p", { class: "small muted" }, ...rules.flatMap((each, at) => [at ? ", " : "", at || !bounds(schema) ? el("code", {}, each) : each])) : null)));
}

function* rows(spec, given, path, required, seen) {
  const { schema, names } = merged(spec, given);
  if (path) yield row(spec, path, given, required);
  if (names.some((name) => seen.includes(name))) return;
  const within = [...seen, ...names];
  if (schema.type === "array") {
    const item = merged(spec, schema.items).schema;
    if (item.properties) yield* members(spec, schema.items, `${path}[]`, within);
  } else if (schema.properties) {
    yield* members(spec, given, path, within, names);
  }
}

function* members(spec, given, path, seen, own = []) {
  const { schema, names } = merged(spec, given);
  const within = [...seen.filter((name) => !own.includes(name)), ...names];
  for (const [name, member] of Object.entries(schema.properties)) {
    yield* rows(spec, member, path ? `${path}.${name}` : name, (schema.required ?? []).includes(name), within);
  }
}

/** Return a table of all members of a schema; a paragraph where it has none. */
export function schemaTable(spec, schema, caption) {
  const found = [...rows(spec, schema, "", false, [])];
  if (!found.length) {
    const { schema: plain } = merged(spec, schema);
    return el("div", {}, el("p", {}, `${caption}: ${typeOf(spec, schema)}`, bounds(plain) ? `, ${bounds(plain)}` : ""), ...wordsOf(plain), ...prose(plain.description));
  }
  return el("table", { class: "data cards" },
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...LABELS.map((label) => el("th", { scope: "col" }, label)))),
    el("tbody", {}, ...found));
}
