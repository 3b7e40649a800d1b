/** The packets of MQTT 3.1.1 that a unit needs, as OASIS has them. */

export type Packet =
  | { kind: "connack"; code: number }
  | { kind: "confirmed"; id: number }
  | { kind: "publish"; topic: string; id: number; data: Buffer }
  | { kind: "pong" };

const [CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP] = [2, 3, 4, 9, 13];
const QOS_1 = 1;
/** The broker sends none that is larger. */
const MOST_BYTES = 131_072;

export function connect(
  clientId: string, keepAliveSeconds: number, willTopic: string, will: string, user?: string, password?: string,
): Buffer {
  // No clean session; a will with QoS 1 that is not retained.
  const flags = 0x04 | (QOS_1 << 3) | (user === undefined ? 0 : 0xc0);
  const login = user === undefined ? [] : [text(user), text(password ?? "")];
  const head = Buffer.concat([text("MQTT"), Buffer.of(4, flags), number(keepAliveSeconds)]);
  return packet(0x10, head, text(clientId), text(willTopic), text(will), ...login);
}

export function publish(id: number, topic: string, data: Buffer): Buffer {
  return packet(0x30 | (QOS_1 << 1), text(topic), number(id), data);
}

export function puback(id: number): Buffer {
  return packet(0x40, number(id));
}

export function subscribe(id: number, filter: string): Buffer {
  return packet(0x82, number(id), text(filter), Buffer.of(QOS_1));
}

export function ping(): Buffer {
  return packet(0xc0);
}

export function disconnect(): Buffer {
  return packet(0xe0);
}

export class PacketReader {
  private rest = Buffer.alloc(0);

  /** The packets that are whole with this. Throw where what comes is none, or larger than any may be. */
  read(data: Buffer): Packet[] {
    this.rest = Buffer.concat([this.rest, data]);
    const found: Packet[] = [];
    for (;;) {
      const size = remainingLength(this.rest);
      if (size === undefined || this.rest.length < size.start + size.length) return found;
      const whole = this.rest.subarray(size.start, size.start + size.length);
      const one = parsed(this.rest.readUInt8(0), whole);
      this.rest = this.rest.subarray(size.start + size.length);
      if (one !== undefined) found.push(one);
    }
  }
}

function parsed(first: number, body: Buffer): Packet | undefined {
  const kind = first >> 4;
  if (kind === CONNACK) return { kind: "connack", code: body.readUInt8(1) };
  if (kind === PUBACK) return { kind: "confirmed", id: body.readUInt16BE(0) };
  if (kind === SUBACK) {
    if (body.readUInt8(2) > QOS_1) throw new Error("the subscription was refused");
    return { kind: "confirmed", id: body.readUInt16BE(0) };
  }
  if (kind === PINGRESP) return { kind: "pong" };
  if (kind !== PUBLISH) return undefined;
  if (((first >> 1) & 3) !== QOS_1) return undefined; // an order that nobody would bring again
  const length = body.readUInt16BE(0);
  const topic = body.toString("utf8", 2, 2 + length);
  return { kind: "publish", topic, id: body.readUInt16BE(2 + length), data: body.subarray(4 + length) };
}

function remainingLength(data: Buffer): { start: number; length: number } | undefined {
  let length = 0;
  for (let at = 1; at < data.length; at += 1) {
    const byte = data.readUInt8(at);
    length += (byte & 127) * 128 ** (at - 1);
    if (length > MOST_BYTES || at > 4) throw new Error("a packet that is too large");
    if (byte < 128) return { start: at + 1, length };
  }
  return undefined;
}

function packet(first: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const size: number[] = [];
  let left = body.length;
  do {
    const low = left % 128;
    left = Math.floor(left / 128);
    size.push(left > 0 ? low | 128 : low);
  } while (left > 0);
  return Buffer.concat([Buffer.of(first, ...size), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([number(bytes.length), bytes]);
}

function number(value: number): Buffer {
  return Buffer.of(value >> 8, value & 255);
}
