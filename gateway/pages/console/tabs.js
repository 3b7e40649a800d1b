/** Tabs as WAI-ARIA has them: one is in the tab order, arrows move among them, and each has its panel. */

import { el } from "../parts/dom.js";
import { t } from "../parts/words.js";

export class Tabs {
  /**
   * @param {HTMLElement} root
   * @param {{key: string, panel: HTMLElement, open: () => void}[]} tabs `key` of the words; `open` is called whenever one is chosen
   */
  constructor(root, tabs) {
    this._tabs = tabs.map((tab) => {
      const id = tab.key.replaceAll(".", "-");
      const label = el("button", {
        type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`, "aria-selected": "false", tabindex: "-1",
        data: { word: tab.key }, onclick: () => this.choose(tab.key),
      }, t(tab.key));
      const panel = el("div", { role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}`, tabindex: "0", hidden: true }, tab.panel);
      return { ...tab, label, panel };
    });
    const list = el("div", { role: "tablist", "aria-label": t("console.areas"), data: { wordLabel: "console.areas" }, onkeydown: (event) => this._move(event) }, this._tabs.map((tab) => tab.label));
    root.append(list, ...this._tabs.map((tab) => tab.panel));
  }

  /** Show the panel of a tab. */
  choose(key, { focus = false } = {}) {
    for (const tab of this._tabs) {
      const isChosen = tab.key === key;
      tab.label.setAttribute("aria-selected", String(isChosen));
      tab.label.tabIndex = isChosen ? 0 : -1;
      tab.panel.hidden = !isChosen;
      if (isChosen) {
        if (focus) tab.label.focus();
        tab.open();
      }
    }
  }

  /** Choose by place, from 0 on. */
  chooseAt(index) {
    const tab = this._tabs[index];
    if (tab) this.choose(tab.key, { focus: true });
  }

  _move(event) {
    const at = this._tabs.findIndex((tab) => tab.label === document.activeElement);
    const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this._tabs.length - 1 };
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    this.chooseAt((steps[event.key] + this._tabs.length) % this._tabs.length);
  }
}
