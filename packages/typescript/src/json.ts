/** What an answer holds, which may be anything where something else than this API answered. */

/** @internal Return the members of a JSON object; undefined where the text is none. */
export function objectOf(text: string): Record<string, unknown> | undefined {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return undefined;
  }
  return typeof read === "object" && read !== null && !Array.isArray(read) ? (read as Record<string, unknown>) : undefined;
}
