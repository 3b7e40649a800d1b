/** Over MQTT 3.1.1: docs/tcu.md, Connecting. Clean session off, QoS 1 both ways, nothing retained, confirmed by hand. */

import { readFileSync } from "node:fs";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Arrivals, CONFIRM_MILLIS, LinkDownError, type Delivery, type Link } from "./link.js";
import { PacketReader, connect, disconnect, ping, puback, publish, subscribe, type Packet } from "./mqtt_packets.js";

const KEEP_ALIVE_SECONDS = 10;
const OPEN_MILLIS = 10_000;
/** What waits in the session comes at once after connecting, and is looked at together. */
const TOGETHER_MILLIS = 2_000;
const QUIET_MILLIS = 100;
const ASK_AGAIN_MILLIS = 1_000;

export interface MqttAccess {
  url: string;
  ca?: string;
  cert?: string;
  key?: string;
  user?: string;
  password?: string;
}

export class MqttLink implements Link {
  private readonly over: Promise<void>;
  private readonly reader = new PacketReader();
  private readonly arrived = new Arrivals<Delivery>();
  private readonly waiting = new Map<number, (error?: LinkDownError) => void>();
  private readonly welcomed: Promise<void>;
  private welcome: (code: number) => void = () => undefined;
  private heardAt = performance.now();
  private readonly openedAt = performance.now();
  private lastId = 0;
  private isOver = false;

  private constructor(private readonly vin: string, private readonly socket: Socket) {
    this.welcomed = new Promise((resolve, reject) => {
      this.welcome = (code) => (code === 0 ? resolve() : reject(new LinkDownError(`CONNACK ${code}`)));
      setTimeout(() => reject(new LinkDownError("no CONNACK")), OPEN_MILLIS).unref();
    });
    this.welcomed.catch(() => undefined);
    const keeper = setInterval(() => this.keepAlive(), 1_000 * KEEP_ALIVE_SECONDS / 2);
    this.over = new Promise((resolve) => {
      socket.once("close", () => {
        this.isOver = true;
        clearInterval(keeper);
        this.welcome(-1);
        this.arrived.end();
        for (const end of this.waiting.values()) end(new LinkDownError("the connection is over"));
        resolve();
      });
    });
    socket.on("error", (error) => process.stderr.write(`mqtt: ${error.message}\n`));
    socket.on("data", (data) => {
      this.heardAt = performance.now();
      try {
        for (const packet of this.reader.read(data)) this.take(packet);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
  }

  static async open(vin: string, access: MqttAccess): Promise<MqttLink> {
    const { hostname, port, protocol } = new URL(access.url);
    const file = (name: string | undefined) => (name === undefined ? undefined : readFileSync(name));
    const address = { host: hostname, port: Number(port) };
    const socket = protocol === "mqtts:"
      ? connectTls({ ...address, servername: hostname, ca: file(access.ca), cert: file(access.cert), key: file(access.key) })
      : connectPlain(address);
    const link = new MqttLink(vin, socket);
    const ready = protocol === "mqtts:" ? "secureConnect" : "connect";
    socket.once(ready, () => {
      const { user, password } = access;
      socket.write(connect(vin, KEEP_ALIVE_SECONDS, `vehicle/${vin}/presence`, "lost", user, password));
    });
    try {
      await link.welcomed;
      const id = link.nextId();
      const heard = link.confirmation(id);
      socket.write(subscribe(id, `vehicle/${vin}/cmd/+`));
      await heard;
      await link.say("presence", Buffer.from("online"));
      return link;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  async publish(domain: string, data: Buffer): Promise<void> {
    await this.say(domain.replace(".", "/"), data);
  }

  async receive(): Promise<Delivery[]> {
    const found: Delivery[] = [];
    for (;;) {
      const isTogether = performance.now() - this.openedAt < TOGETHER_MILLIS;
      const wait = found.length === 0 ? ASK_AGAIN_MILLIS : isTogether ? QUIET_MILLIS : 0;
      const one = await this.arrived.next(wait);
      if (one !== undefined) found.push(one);
      else if (found.length > 0) return found;
    }
  }

  async close(): Promise<void> {
    if (this.isOver) return;
    await this.say("presence", Buffer.from("asleep")).catch(() => undefined);
    this.socket.end(disconnect());
    setTimeout(() => this.socket.destroy(), CONFIRM_MILLIS).unref();
    await this.over;
  }

  private async say(topic: string, data: Buffer): Promise<void> {
    if (this.isOver) throw new LinkDownError("the connection is over");
    const id = this.nextId();
    const heard = this.confirmation(id);
    this.socket.write(publish(id, `vehicle/${this.vin}/${topic}`, data));
    await heard;
  }

  private take(packet: Packet): void {
    if (packet.kind === "connack") this.welcome(packet.code);
    else if (packet.kind === "confirmed") this.waiting.get(packet.id)?.();
    else if (packet.kind === "publish") {
      const confirm = (): void => {
        if (!this.isOver) this.socket.write(puback(packet.id));
      };
      const domain = packet.topic.split("/").slice(2).join(".");
      this.arrived.push({ domain, data: packet.data, settle: confirm, refuse: confirm });
    }
  }

  private confirmation(id: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.waiting.get(id)?.(new LinkDownError("not confirmed")), CONFIRM_MILLIS);
      this.waiting.set(id, (error) => {
        clearTimeout(timer);
        this.waiting.delete(id);
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }

  /** One that no message waits under. */
  private nextId(): number {
    do this.lastId = (this.lastId % 65_535) + 1;
    while (this.waiting.has(this.lastId));
    return this.lastId;
  }

  private keepAlive(): void {
    if (performance.now() - this.heardAt > 2_000 * KEEP_ALIVE_SECONDS) this.socket.destroy();
    else this.socket.write(ping());
  }
}
