/** The driver's page: who is signed in, which car, and that car's view. */

import { button, confirmed, notice, problemNotice } from "../console/notice.js";
import { Api } from "../parts/api.js";
import { clear, el } from "../parts/dom.js";
import { ISSUER_AWAY, SignInError, openSession } from "../parts/session.js";
import { formatAge, languageSwitch, loadWords, onLanguage, t } from "../parts/words.js";
import { forgetStatuses } from "./cache.js";
import { CarView } from "./car_view.js";
import { leaveDevice } from "./push_device.js";

const main = document.getElementById("main");
const who = document.getElementById("who");

class DriverPage {
  #session;
  #api;
  #view = null;
  #vehicles = null;
  #said = null;

  constructor(session) {
    this.#session = session;
    this.#api = new Api(session);
    session.addEventListener("ended", ({ detail }) => this.#ended(detail));
    onLanguage(() => this.#head());
  }

  async start() {
    this.#head();
    if (!this.#session.isSignedIn) {
      this.#welcome();
      return;
    }
    await this.#choose(this.#session.kept?.vin ?? null);
  }

  #head() {
    const out = el("button", { type: "button", class: "quiet small", data: { part: "sign-out" }, onclick: () => this.#signOut() }, t("app.signOut"));
    clear(who).append(languageSwitch(), ...(this.#session.isSignedIn ? [el("span", { class: "small muted", data: { part: "person" } }, this.#session.subject), out] : []));
    document.querySelector(".skip").textContent = t("app.skip");
  }

  #leaveCar() {
    this.#view?.close();
    this.#view = null;
    forgetStatuses();
  }

  #welcome(error = null) {
    this.#view?.close();
    this.#view = null;
    this.#head();
    main.classList.remove("has-car");
    const { problem } = this.#session;
    const failure = error ?? (problem && { code: problem.code, title: t("app.signInFailed"), detail: problem.detail, status: 400 });
    const draw = () => clear(main).append(el("section", { class: "card stack welcome" },
      el("h2", {}, t("app.welcome")), el("p", { class: "muted" }, t("app.welcome.text")),
      this.#said && notice("warn", this.#said.title, [this.#said.detail], [], this.#said.code),
      failure && problemNotice(failure),
      button("app.signIn", () => this.#signIn(), { kind: "primary button-large", "data-part": "sign-in" })));
    draw();
    this.#redraw = draw;
  }

  async #signIn() {
    const pressed = main.querySelector("[data-part=sign-in]");
    pressed?.setAttribute("aria-busy", "true");
    try {
      await this.#session.signIn({ prompt: this.#session.wasSignedOut ? "login" : undefined });
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      this.#welcome({ code: "OFFLINE", status: 503, title: t("app.signInFailed"), detail: error.detail });
    }
  }

  async #signOut() {
    this.#leaveCar(); // first: what still comes in would be kept
    clear(main).append(el("p", { class: "skeleton", "aria-busy": "true" }));
    who.querySelector("[data-part=sign-out]").disabled = true;
    await leaveDevice(this.#api); // while there is still a token for it
    await this.#session.signOut();
    this.#said = null;
    this.#welcome();
    main.focus();
  }

  #ended({ code, detail }) {
    this.#leaveCar();
    this.#said = { code, title: t("app.ended"), detail };
    this.#welcome();
    main.focus();
  }

  async #choose(wanted) {
    clear(main).append(el("p", { class: "skeleton", "aria-busy": "true" }));
    try {
      const { data } = await this.#api.get("/vehicles");
      this.#vehicles = data.vehicles ?? [];
    } catch (error) {
      if (!("code" in error)) throw error;
      if (!this.#session.isSignedIn) return; // it has ended, and says so
      clear(main).append(problemNotice(error, button("app.again", () => this.#choose(wanted), { kind: "small" })));
      return;
    }
    const found = this.#vehicles.find(({ vin }) => vin === wanted) ?? (this.#vehicles.length === 1 ? this.#vehicles[0] : null);
    if (found) await this.#show(found);
    else this.#list();
  }

  #list() {
    this.#view?.close();
    this.#view = null;
    main.classList.remove("has-car");
    const draw = () => clear(main).append(el("section", { class: "card stack wide" },
      el("h2", {}, t(this.#vehicles.length ? "app.chooseCar" : "app.noCar")),
      el("ul", { class: "chooser" }, this.#vehicles.map((vehicle) => el("li", {},
        el("button", { type: "button", data: { vin: vehicle.vin }, onclick: () => this.#show(vehicle) },
          el("span", {}, t("app.car", { end: vehicle.vin.slice(-6) })), el("span", { class: "badge" }, t(`role.${vehicle.role}`))))))));
    draw();
    this.#redraw = draw;
  }

  async #show(vehicle) {
    this.#view?.close();
    this.#redraw = () => {};
    main.classList.add("has-car");
    clear(main);
    this.#view = new CarView(main, {
      api: this.#api,
      vehicle,
      onOthers: this.#vehicles.length > 1 ? () => this.#list() : null,
    });
    await this.#view.open();
    const returned = this.#session.takeReturned();
    if (returned) await this.#offer(returned);
    const { kept } = this.#session;
    if (kept?.help && kept.vin === vehicle.vin) {
      this.#session.kept = null;
      this.#view.help(kept.help);
    }
  }

  /** What a stronger sign-in interrupted is offered again, under its own id; nobody's door moves without a word of theirs. */
  async #offer(pending) {
    const age = formatAge((Date.now() - pending.at) / 1000);
    const isWanted = await confirmed(t("app.returned"), t("app.returned.text", { label: pending.label, age }), pending.label);
    if (isWanted) await this.#view?.resume(pending);
  }

  #redraw = () => {};

  redraw() {
    this.#redraw();
  }
}

async function begin() {
  await loadWords({ books: ["console", "app"] });
  document.title = t("app.title");
  let session;
  try {
    session = await openSession("app");
  } catch (error) {
    const told = error instanceof SignInError && error.code !== ISSUER_AWAY ? error : { code: "OFFLINE", status: 503 };
    clear(main).append(problemNotice(told, button("app.again", () => location.reload(), { kind: "small" })));
    return;
  }
  const driver = new DriverPage(session);
  onLanguage(() => {
    document.title = t("app.title");
    driver.redraw();
  });
  await driver.start();
}

await begin();
