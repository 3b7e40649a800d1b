/** What Swagger UI is given, and what it is kept from: it speaks neither OpenID Connect with a public client nor DPoP, and waits for the end of an answer. */

/** Schemes that Swagger UI would offer and cannot carry out: signing in is this page's own button, which does both. */
const NOT_FOR_SWAGGER = new Set(["signIn", "dpop", "dpopProof"]);
/** So long an event stream is listened to, and so much of it is shown. */
export const STREAM_SECONDS = 5;
const MOST_CHARACTERS = 100_000;

function without(ways) {
  return ways.filter((way) => !Object.keys(way).some((name) => NOT_FOR_SWAGGER.has(name)));
}

/** Return the document with those ways to call an operation that somebody can use under "Authorize". */
export function forSwagger(document) {
  const spec = structuredClone(document);
  for (const name of NOT_FOR_SWAGGER) delete spec.components?.securitySchemes?.[name];
  if (spec.security) spec.security = without(spec.security);
  for (const operation of Object.values(spec.paths ?? {}).flatMap((path) => Object.values(path))) {
    if (Array.isArray(operation?.security)) operation.security = without(operation.security);
  }
  return spec;
}

/** Return a header of an answer as Swagger UI hands it over: in parts where there are commas in it. */
export function headerOf(response, name) {
  return [response.headers?.[name] ?? []].flat().join(", ");
}

async function heard(body, seconds) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const over = setTimeout(() => reader.cancel(), seconds * 1000); // ends the read that waits
  let text = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += decoder.decode(part.value, { stream: true });
      if (text.length > MOST_CHARACTERS) await reader.cancel();
    }
  } finally {
    clearTimeout(over);
  }
  return text;
}

/** Return the answer to a request; of an event stream, which has no end, what came in its first seconds. */
export async function fetchToShow(url, request, seconds = STREAM_SECONDS) {
  const response = await fetch(url, request);
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
  const text = await heard(response.body, seconds);
  const { status, statusText, headers } = response;
  return new Response(`${text}: This page listens for ${seconds} seconds. With "curl -N" it goes on.\n`, { status, statusText, headers });
}
