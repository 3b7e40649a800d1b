/** What `Doors.request` takes and gives for each operation, by the OpenAPI document. */

import type { paths } from "./openapi.js";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** The paths of the document that have this method. */
export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends { [Verb in Lowercase<M>]: object } ? P : never;
}[keyof paths];

type Operation<M extends Method, P extends PathOf<M>> = Lowercase<M> extends keyof paths[P] ? paths[P][Lowercase<M>] : never;

type PathPart<O> = O extends { parameters: { path: infer Path extends object } } ? { path: Path } : { path?: never };
type QueryPart<O> = O extends { parameters: { query: infer Query extends object } }
  ? { query: Query }
  : O extends { parameters: { query?: infer Query } }
    ? { query?: Exclude<Query, undefined> }
    : { query?: never };
type BodyPart<O> = O extends { requestBody?: never }
  ? { body?: never }
  : O extends { requestBody: { content: { "application/json": infer Body } } }
    ? { body: Body }
    : O extends { requestBody?: { content: { "application/json": infer Body } } }
      ? { body?: Body }
      : { body?: never };

/** What goes with any request. */
export interface CallOptions {
  /** The request's name, and its idempotency key for 24 hours: 1 to 64 of `A-Za-z0-9._-`. Made where it is absent. */
  correlationId?: string | undefined;
  /** Ends the waiting, not what was asked for. */
  signal?: AbortSignal | undefined;
}

/** The parameters and the body of an operation. */
export type Call<M extends Method, P extends PathOf<M>> = PathPart<Operation<M, P>> &
  QueryPart<Operation<M, P>> &
  BodyPart<Operation<M, P>> &
  CallOptions & {
    /** Headers besides, such as `Prefer`. */
    headers?: Record<string, string>;
  };

type Content<Responses> = {
  [Status in keyof Responses]: Responses[Status] extends { content: infer Kinds } ? Kinds[keyof Kinds] : undefined;
}[keyof Responses];

/** An answer: its members by the document. A newer server may send more of them, and other words. */
export interface Answer<Data> {
  status: number;
  data: Data;
  headers: Headers;
  correlationId: string;
}

/** What an operation answers with. */
export type DataOf<M extends Method, P extends PathOf<M>> =
  Operation<M, P> extends { responses: infer Responses } ? Content<Responses> : never;

/** @internal Return the path with its parameters and the query. */
export function filled(template: string, path: object = {}, query: object = {}): string {
  const values = path as Record<string, unknown>;
  const filledIn = template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (typeof value !== "string" || value === "" || value === "." || value === "..") throw new TypeError(`path: ${name}`);
    return encodeURIComponent(value);
  });
  const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const search = new URLSearchParams(asked.map(([name, value]) => [name, String(value)]));
  return asked.length > 0 ? `${filledIn}?${search}` : filledIn;
}
