/** Server-Sent Events (WHATWG HTML, 9.2.6) out of the text of a stream. Pure. */

/** @internal What a block of the stream, or a comment in it, says. */
export type Block =
  | { kind: "event"; type: string; id: string | undefined; data: string }
  | { kind: "comment"; text: string }
  | { kind: "retry"; milliseconds: number };

/** What can be sent back in a header: with another id the place stays where it was. */
const SENDABLE_ID = /^[ -~]*$/;
const LARGEST_BLOCK = 1024 * 1024;

/** @internal Takes pieces of text as they come, and gives what is whole. */
export class EventStreamReader {
  /** The beginning of a line that is not whole yet: it is not searched again with each piece that comes. */
  #rest = "";
  #isFirst = true;
  #isAfterReturn = false;
  #data: string[] = [];
  /** Characters of `#data`, with an end for each line: empty ones are kept, too. */
  #held = 0;
  #type = "";
  #id: string | undefined;

  /** Return what this piece completes. Throw a RangeError where a block is larger than any of the API. */
  take(piece: string): Block[] {
    if (piece === "") return [];
    let text = piece;
    if (this.#isFirst) {
      this.#isFirst = false;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    // A carriage return has ended its line; what follows it may be the other half of that end.
    if (this.#isAfterReturn && text.startsWith("\n")) text = text.slice(1);
    this.#isAfterReturn = text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = this.#rest + (lines[0] ?? "");
    this.#rest = lines.pop() ?? "";
    const blocks = lines.flatMap((line) => this.#line(line));
    if (this.#rest.length + this.#held > LARGEST_BLOCK) throw new RangeError("an event is larger than 1 MiB");
    return blocks;
  }

  #line(line: string): Block[] {
    if (line === "") return this.#end();
    if (line.startsWith(":")) return [{ kind: "comment", text: line.slice(1).trim() }];
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.#data.push(value);
      this.#held += value.length + 1;
    } else if (name === "event") this.#type = value;
    else if (name === "id" && SENDABLE_ID.test(value)) this.#id = value;
    else if (name === "retry" && /^\d{1,7}$/.test(value)) return [{ kind: "retry", milliseconds: Number(value) }];
    return [];
  }

  #end(): Block[] {
    const block: Block = { kind: "event", type: this.#type || "message", id: this.#id, data: this.#data.join("\n") };
    const isEmpty = this.#data.length === 0 && this.#id === undefined;
    this.#data = [];
    this.#held = 0;
    this.#type = "";
    this.#id = undefined;
    return isEmpty ? [] : [block];
  }
}
