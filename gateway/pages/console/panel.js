/** One area of the console that reads something: shows that it is loading, what came, or why nothing did. */

import { clear, el } from "../parts/dom.js";
import { onLanguage } from "../parts/words.js";
import { problemNotice, button } from "./notice.js";

export class Panel {
  /** @param {HTMLElement} root is emptied and filled */
  constructor(root) {
    this.root = root;
    this.data = null;
    this._asked = 0;
    this._reading = null;
    this._isClosed = false;
    this._stopped = onLanguage(() => this.data !== null && this.translated());
  }

  /** Read what the panel shows. Subclasses: @returns {Promise<Object>} */
  async read() {
    throw new TypeError("a panel says what it reads");
  }

  /** Show `this.data` in `this.root`. Subclasses. */
  draw() {
    throw new TypeError("a panel says how it looks");
  }

  /** Show it in another language: what came of the service in words is read anew by who overrides this. */
  translated() {
    this.draw();
  }

  /** Read if nothing was read yet. */
  async open() {
    if (this.data === null) await this.refresh();
  }

  /** Wait for what is being read, and read if nothing was. @returns {Promise<boolean>} whether there is something to show */
  async ready() {
    await (this._reading ?? this.open());
    return this.data !== null;
  }

  /** Show an answer that is newer than whatever is still being read. */
  take(data) {
    this._asked += 1;
    if (this._isClosed) return;
    this.data = data;
    this.draw();
  }

  /** Read anew. What was asked for later is what is shown, whichever answer comes first. */
  refresh() {
    const reading = this._read().finally(() => {
      if (this._reading === reading) this._reading = null;
    });
    this._reading = reading;
    return reading;
  }

  async _read() {
    const asked = ++this._asked;
    if (this.data === null) clear(this.root).append(el("p", { class: "skeleton", "aria-busy": "true" }));
    try {
      const data = await this.read();
      if (asked !== this._asked || this._isClosed) return;
      this.data = data;
      this.draw();
    } catch (error) {
      if (!("code" in error)) throw error;
      if (asked !== this._asked || this._isClosed) return;
      this.data = null;
      clear(this.root).append(problemNotice(error, button("refresh", () => this.refresh(), { kind: "small" })));
    }
  }

  close() {
    this._isClosed = true;
    this.data = null;
    this._stopped();
    clear(this.root);
  }
}
