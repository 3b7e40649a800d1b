/** The agents' console: signed out, at the forms that open a case, or at work on one. */

import { Api } from "../parts/api.js";
import { clear, el, svg } from "../parts/dom.js";
import { ISSUER_AWAY, SignInError, openSession } from "../parts/session.js";
import { language, languageSwitch, loadWords, onLanguage, t, translate, word } from "../parts/words.js";
import { CaseForms } from "./case.js";
import { button, notice, problemNotice } from "./notice.js";
import { Workplace } from "./workplace.js";

/** With Alt and Shift, by the key's place: letters move with the keyboard's language. */
const SHORTCUTS = { KeyU: "unlock", KeyL: "lock", KeyC: "cancel", KeyR: "status", Digit1: "1", Digit2: "2", Digit3: "3", Digit4: "4", Digit5: "5", Digit6: "6" };
const LIVE = { live: "good", connecting: "busy", reconnecting: "warn", ended: "bad", idle: "unknown" };

class Console {
  constructor(session) {
    this._session = session;
    this._api = new Api(session);
    this._main = document.getElementById("main");
    this._place = null;
    this._live = el("span", { class: "badge", role: "status", hidden: true });
    this._state = null;
    this._reason = null;
    session.addEventListener("ended", ({ detail }) => this._ended(detail.code, detail.detail));
    // The clock of a computer that slept over night has moved on, its timers have not.
    for (const event of ["visibilitychange", "pageshow", "focus"]) globalThis.addEventListener(event, () => this._tick());
    document.addEventListener("visibilitychange", () => this._tick());
    document.addEventListener("keydown", (event) => this._key(event));
    onLanguage(() => this._drawTop());
    setInterval(() => this._tick(), 1000);
  }

  start() {
    this._drawTop();
    if (this._session.isSignedIn) this._toCaseForms(this._session.kept);
    else this._signedOut();
  }

  _signedOut() {
    this._leave();
    const draw = () => {
      const problem = this._session.problem;
      clear(this._main).append(...this._said(), el("section", { class: "card stack welcome" },
        mark(), el("h1", {}, t("console.title")), el("p", { class: "muted" }, t("console.welcome")),
        problem && notice("bad", t("console.signInFailed"), [problem.detail || problem.code]),
        button("console.signIn", () => this._signIn(), { kind: "primary", data: { part: "sign-in" } })));
    };
    draw();
    this._place = { close: onLanguage(draw), tick: () => undefined };
    this._drawTop();
  }

  async _signIn() {
    try {
      await this._session.signIn({ prompt: this._session.wasSignedOut ? "login" : undefined });
    } catch (error) {
      if (!("code" in error)) throw error;
      this._session.problem = { code: error.code, detail: error.detail };
      this._signedOut();
    }
  }

  _toCaseForms(known = null) {
    this._leave();
    const forms = el("div", { class: "stack" });
    const said = el("div", { class: "stack tight" });
    clear(this._main).append(said, forms);
    const draw = () => clear(said).append(...this._said());
    draw();
    const stopped = onLanguage(draw);
    const made = new CaseForms(forms, { session: this._session, known, onOpened: () => this._atWork() });
    this._place = { tick: () => undefined, close: () => { stopped(); made.close(); } };
    this._drawTop();
  }

  _atWork() {
    this._leave();
    this._reason = null;
    this._place = new Workplace(clear(this._main), {
      api: this._api,
      session: this._session,
      onLive: (state) => this._showLive(state),
      onEnded: (code, detail) => this._ended(code, detail),
      onLeave: () => this._leaveCase(),
    });
    this._place.offer(this._session.takeReturned());
    this._drawTop();
    this._main.focus({ preventScroll: true });
  }

  _leaveCase() {
    this._reason = null;
    this._session.leaveCase();
    this._toCaseForms();
  }

  /** The case, its token or the sign-in is over: at once, whatever was on the page. */
  _ended(code, detail) {
    if (!(this._place instanceof Workplace) && this._session.isSignedIn) return;
    this._reason = { code, detail };
    this._leave();
    this._session.leaveCase();
    if (this._session.isSignedIn) this._toCaseForms();
    else this._signedOut();
  }

  _said() {
    if (!this._reason) return [];
    const { code, detail } = this._reason;
    const why = { TOKEN_EXPIRED: "ended.expired", TOKEN_INVALID: "ended.case", ACCOUNT_LOCKED: "ended.locked", ACTION_NOT_GRANTED: "ended.right" };
    const said = notice("warn", t("ended.title"), [t(why[code] ?? "ended.other"), t("ended.cleared"), detail ? `(${detail})` : ""], [], code);
    said.dataset.part = "ended";
    return [said];
  }

  _leave() {
    this._place?.close();
    this._place = null;
    this._state = null;
    this._live.hidden = true;
    clear(this._main);
  }

  _tick() {
    const open = this._session.case;
    if (open && open.expiresAt <= Date.now()) this._ended("TOKEN_EXPIRED", "");
    else if (!document.hidden) this._place?.tick?.();
  }

  _showLive(state) {
    this._state = state;
    this._live.hidden = false;
    this._live.className = `badge ${LIVE[state.state] ?? ""}`;
    this._live.dataset.live = state.state;
    this._live.textContent = word("live", state.state);
  }

  _drawTop() {
    const isIn = this._session.isSignedIn;
    clear(document.getElementById("top")).append(el("div", { class: "bar" },
      el("div", { class: "brand" }, mark(), el("span", {}, t("console.title"))),
      this._live,
      isIn && el("span", { class: "small muted" }, t("console.person", { person: this._session.person })),
      languageSwitch(),
      button("console.keys", () => this._showKeys(), { kind: "quiet small" }),
      isIn && button("console.signOut", () => this._signOut(), { kind: "small", data: { part: "sign-out" } })));
    if (this._state) this._showLive(this._state);
    document.title = t("console.title");
    document.documentElement.lang = language();
    translate(document);
  }

  async _signOut() {
    this._reason = null;
    this._leave();
    await this._session.signOut();
    this._signedOut();
  }

  _key(event) {
    if (!event.altKey || !event.shiftKey || event.ctrlKey || event.metaKey) return;
    const isHelp = event.code === "KeyK";
    if (!isHelp && !(event.code in SHORTCUTS && this._place instanceof Workplace)) return;
    event.preventDefault();
    if (isHelp) this._showKeys();
    else this._place.shortcut(SHORTCUTS[event.code]);
  }

  _showKeys() {
    if (document.querySelector("dialog[open]")) return;
    const rows = [["U", "command.unlock"], ["L", "command.lock"], ["C", "command.cancel"], ["R", "refresh"], ["1 … 6", "console.areas"], ["K", "console.keys"]];
    const dialog = el("dialog", { "aria-labelledby": "keys" },
      el("form", { method: "dialog", class: "stack" }, el("h2", { id: "keys" }, t("console.keys")), el("p", { class: "muted small" }, t("console.keys.text")),
        el("dl", { class: "facts" }, rows.flatMap(([key, label]) => [el("dt", {}, el("kbd", {}, `Alt + Shift + ${key}`)), el("dd", {}, t(label))])),
        el("div", { class: "row end" }, el("button", { class: "primary" }, t("console.close")))));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}

function mark() {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("path", { d: "M3 13 L6 7 Q6.6 6 7.8 6 H16.2 Q17.4 6 18 7 L21 13 V18 H3 Z M3 13 H21 M7 18 V20 M17 18 V20 M10 15.5 H14" }));
}

async function begin() {
  await loadWords({ books: ["console"] });
  document.title = t("console.title");
  translate(document);
  let session;
  try {
    session = await openSession("console");
  } catch (error) {
    const told = error instanceof SignInError && error.code !== ISSUER_AWAY ? error : { code: "OFFLINE", status: 503 };
    clear(document.getElementById("main")).append(problemNotice(told, button("refresh", () => location.reload(), { kind: "small" })));
    return;
  }
  new Console(session).start();
}

await begin();
