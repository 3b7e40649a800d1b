/** One boot of the unit: connected, hello, orders, reports, sleep. */

import { randomUUID, type KeyObject } from "node:crypto";
import { uptime } from "node:os";
import { KeyUse } from "../gen/ecarus/remotecontrol/vehicle/v1/session_pb.js";
import { Budget } from "./budget.js";
import type { Car } from "./car.js";
import { Epoch } from "./epoch.js";
import { RefusedError } from "./faults.js";
import { Gate, isOrderDomain } from "./gate.js";
import type { Journal } from "./journal.js";
import { LinkDownError, QueueGoneError, pause, type Delivery, type Link } from "./link.js";
import { Orders } from "./orders.js";
import { Reporter } from "./reporter.js";
import type { Trust } from "./trust.js";
import { Voice, type Standing } from "./voice.js";

const RECONNECT_MILLIS = 250;
/** The broker lets a car in 240 times at once, and then once in 15 s. */
const MOST_RECONNECT_MILLIS = 30_000;
const HELLO_AGAIN_MILLIS = 250;
const MOST_HELLO_AGAIN_MILLIS = 60_000;
const GOODBYE_MILLIS = 5_000;
/** What is taken first of what came together. */
const FIRST = ["cmd.keys", "cmd.cancel"];

export interface Identity { vin: string; signKey: KeyObject; sealKey: KeyObject }

/** Seconds since 1970 by the wall clock, which may be wrong; it decides about manifests alone, and only to shorten. */
export function wallSeconds(): number {
  return Date.now() / 1_000;
}

/** Thousandths of a second that no sleep stops and nobody sets: on Linux os.uptime() is CLOCK_BOOTTIME. */
function bootMillis(): number {
  return Math.round(1_000 * uptime());
}

export class Unit {
  private readonly bootId = randomUUID();
  private readonly standing: Standing;
  private readonly gate: Gate;
  private readonly voice: Voice;
  private readonly orders: Orders;
  private readonly reporter: Reporter;
  private readonly budget: Budget;
  private link: Link | undefined;
  private isAsleep = false;
  private awoken: (() => void) | undefined;

  constructor(
    private readonly identity: Identity, trust: Trust, private readonly journal: Journal, car: Car,
    private readonly open: () => Promise<Link>, answerMillis: number,
  ) {
    const { vin, signKey, sealKey } = identity;
    this.standing = { trust, epoch: this.newEpoch(trust) };
    this.voice = new Voice(vin, signKey, this.bootId, this.standing, journal, wallSeconds);
    this.reporter = new Reporter(this.bootId, car, this.voice);
    this.budget = new Budget(answerMillis);
    this.orders = new Orders(car, journal, this.voice, this.reporter, this.budget, wallSeconds);
    this.gate = new Gate(vin, sealKey, wallSeconds, (domain, id) => this.orders.isKnown(domain, id));
  }

  /** Until the process ends. */
  async live(): Promise<never> {
    this.orders.recover();
    void this.reporter.run();
    for (let wait = RECONNECT_MILLIS; ; ) {
      if (this.isAsleep) await new Promise<void>((resolve) => (this.awoken = resolve));
      try {
        await this.connected(() => (wait = RECONNECT_MILLIS));
      } catch (error) {
        if (!(error instanceof LinkDownError)) throw error;
        process.stderr.write(`connection: ${error.message}\n`);
      }
      if (this.isAsleep) continue;
      await pause(wait * (0.5 + Math.random() / 2)); // not all cars of a country at once
      wait = Math.min(2 * wait, MOST_RECONNECT_MILLIS);
    }
  }

  /** Finish what moves, say that it sleeps, disconnect. The epoch goes on. */
  async sleep(): Promise<void> {
    this.isAsleep = true;
    const { link } = this;
    if (link === undefined) return;
    await Promise.race([this.orders.idle(), pause(GOODBYE_MILLIS)]);
    this.voice.use(undefined);
    try {
      await this.reporter.sayGoodbye(link);
    } catch (error) {
      if (!(error instanceof LinkDownError)) throw error;
    }
    await link.close();
  }

  /** Connect again, and resolve when the hello is confirmed. */
  async wake(): Promise<void> {
    this.isAsleep = false;
    this.reporter.wake();
    this.awoken?.();
    await this.voice.online();
  }

  /** People in the vehicle changed something. */
  changed(): void {
    this.reporter.request();
  }

  private async connected(welcomed: () => void): Promise<void> {
    const link = await this.open();
    this.link = link;
    try {
      await this.voice.hello(link);
      welcomed();
      this.voice.use(link);
      this.reporter.request();
      await this.listen(link);
    } finally {
      this.voice.use(undefined);
      this.link = undefined;
      await link.close();
    }
  }

  private async listen(link: Link): Promise<never> {
    for (let wait = HELLO_AGAIN_MILLIS, saidAt = performance.now(); ; ) {
      try {
        const batch = await link.receive();
        batch.sort((one, other) => rank(one) - rank(other));
        for (const delivery of batch) await this.take(link, delivery);
        wait = HELLO_AGAIN_MILLIS;
      } catch (error) {
        if (!(error instanceof QueueGoneError)) throw error;
        if (performance.now() - saidAt < wait) continue;
        await this.voice.hello(link);
        saidAt = performance.now();
        wait = Math.min(2 * wait, MOST_HELLO_AGAIN_MILLIS);
      }
    }
  }

  private async take(link: Link, delivery: Delivery): Promise<void> {
    try {
      if (isOrderDomain(delivery.domain)) {
        const { trust, epoch } = this.standing;
        const order = this.gate.order(delivery.domain, delivery.data, trust, epoch);
        this.orders.take(order, delivery, epoch.clockMillis);
      } else if (delivery.domain === "cmd.session") {
        await this.answerSessionRequest(link, delivery);
      } else if (delivery.domain === "cmd.keys") {
        await this.adopt(link, this.gate.endorsed(delivery.data));
        delivery.settle();
      } else {
        delivery.refuse(); // a domain of the future
      }
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.refuse(delivery, error);
    }
  }

  private refuse(delivery: Delivery, refused: RefusedError): void {
    process.stderr.write(`${delivery.domain} refused: ${refused.fault}\n`);
    if (!isOrderDomain(delivery.domain) || !refused.isAnswered || !this.budget.spend()) {
      delivery.refuse();
      return;
    }
    // Where the broker does not get it, the order comes again.
    this.voice.refuse(delivery.domain, refused).then(
      () => delivery.refuse(),
      (error: unknown) => process.stderr.write(`not answered: ${String(error)}\n`),
    );
  }

  private async answerSessionRequest(link: Link, delivery: Delivery): Promise<void> {
    const request = this.gate.sessionRequest(delivery.data, this.standing.trust);
    for (const one of request.refused) {
      process.stderr.write(`the cloud refused ${one.count} of ${one.domain}: ${one.reason}\n`);
    }
    if (this.budget.spend()) await this.voice.hello(link, request.challenge);
    if (request.selfCheck) this.reporter.requestSelfCheck();
    delivery.settle();
  }

  private async adopt(link: Link, endorsed: Buffer): Promise<void> {
    const before = this.standing.trust;
    const trust = before.adopt(endorsed, wallSeconds());
    if (trust === before) return;
    this.journal.keepManifest(trust.endorsedBy, trust.endorsed); // before it is used
    this.standing.trust = trust;
    if (!trust.names(KeyUse.REPORT, this.standing.epoch.cloudReportKey)) {
      this.standing.epoch = this.newEpoch(trust);
      this.orders.endWaiting();
    }
    await this.voice.hello(link);
    this.reporter.request();
  }

  private newEpoch(trust: Trust): Epoch {
    const began = bootMillis();
    return new Epoch(this.identity.vin, trust, wallSeconds(), () => bootMillis() - began);
  }
}

function rank(delivery: Delivery): number {
  const place = FIRST.indexOf(delivery.domain);
  return place < 0 ? FIRST.length : place;
}
