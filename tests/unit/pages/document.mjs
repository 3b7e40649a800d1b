// As much of a document as the pages' panels need, without a browser: elements, their attributes, selectors of one step or several, clicks.

class FakeText {
  constructor(text) {
    this.textContent = text;
  }
}

class FakeElement extends EventTarget {
  constructor(tag) {
    super();
    Object.assign(this, { tagName: tag, children: [], parent: null, attributes: new Map(), hidden: false, className: "" });
    if (["input", "select"].includes(tag)) this.value = "";
    this.dataset = new Proxy({}, {
      set: (_target, name, value) => this.setAttribute(`data-${kebab(name)}`, value) ?? true,
      get: (_target, name) => this.attributes.get(`data-${kebab(name)}`),
    });
    const classes = () => (this.attributes.get("class") ?? "").split(" ").filter(Boolean);
    this.classList = {
      add: (...names) => this.setAttribute("class", [...new Set([...classes(), ...names])].join(" ")),
      toggle: (name, isOn) => this.setAttribute("class", [...classes().filter((each) => each !== name), ...(isOn ? [name] : [])].join(" ")),
      contains: (name) => classes().includes(name),
    };
  }

  setAttribute(name, value) {
    this.attributes.set(name, String(value));
    if (["disabled", "checked", "open"].includes(name)) this[name] = true;
  }

  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }

  removeAttribute(name) {
    this.attributes.delete(name);
  }

  append(...nodes) {
    for (const each of nodes) {
      const node = typeof each === "string" ? new FakeText(each) : each;
      node.parent?.children.splice(node.parent.children.indexOf(node), 1);
      node.parent = this;
      this.children.push(node);
    }
  }

  replaceChildren(...nodes) {
    for (const each of this.children) each.parent = null;
    this.children = [];
    this.append(...nodes);
  }

  remove() {
    this.parent?.children.splice(this.parent.children.indexOf(this), 1);
    this.parent = null;
  }

  get textContent() {
    return this.children.map((each) => each.textContent).join("");
  }

  set textContent(text) {
    this.replaceChildren(text);
  }

  get isConnected() {
    return true;
  }

  /** The controls of a form by their names. */
  get elements() {
    return Object.fromEntries(this.querySelectorAll("input, select").map((each) => [each.getAttribute("name"), each]));
  }

  reportValidity() {
    return true;
  }

  focus() {
    globalThis.document.activeElement = this;
  }

  click() {
    if (!this.disabled) this.dispatchEvent(new Event("click"));
  }

  /** Answer a dialog with yes. */
  showModal() {
    this.returnValue = "yes";
    queueMicrotask(() => this.dispatchEvent(new Event("close")));
  }

  querySelector(selector) {
    return this.querySelectorAll(selector)[0] ?? null;
  }

  querySelectorAll(selector) {
    const all = this.children.flatMap((each) => (each instanceof FakeElement ? [each, ...each.querySelectorAll("*")] : []));
    return all.filter((each) => selector.split(",").some((one) => each.matches(one.trim().split(/\s+/))));
  }

  matches(steps) {
    const [last, before] = [steps.at(-1), steps.slice(0, -1)];
    if (!this.is(last)) return false;
    if (!before.length) return true;
    for (let above = this.parent; above; above = above.parent) if (above.matches(before)) return true;
    return false;
  }

  is(step) {
    const [, tag, rest] = /^([a-z0-9]*|\*)(.*)$/.exec(step);
    if (tag && tag !== "*" && tag !== this.tagName) return false;
    const classes = (this.attributes.get("class") ?? "").split(" ");
    return [...rest.matchAll(/\.([\w-]+)|#([\w-]+)|\[([\w-]+)(?:="?([^"\]]*)"?)?\]/g)].every(([, name, id, attribute, value]) =>
      name ? classes.includes(name) : id ? this.attributes.get("id") === id : value === undefined ? this.attributes.has(attribute) : this.attributes.get(attribute) === value);
  }
}

function kebab(name) {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Put a document in place of the browser's, for this test file. */
export function useDocument() {
  const body = new FakeElement("body");
  globalThis.document = {
    body,
    documentElement: new FakeElement("html"),
    activeElement: body,
    createElement: (tag) => new FakeElement(tag),
    createElementNS: (_space, tag) => new FakeElement(tag),
    querySelectorAll: (selector) => body.querySelectorAll(selector),
    getElementById: (id) => body.querySelector(`#${id}`),
    addEventListener: () => {},
    removeEventListener: () => {},
  };
  const events = new EventTarget();
  for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"]) globalThis[name] ??= events[name].bind(events);
  globalThis.location ??= { origin: "https://edge.example.com" };
  globalThis.WebSocket ??= { OPEN: 1 };
  globalThis.ResizeObserver = class {
    observe() {}
    disconnect() {}
  };
  globalThis.matchMedia = () => ({ addEventListener: () => {}, removeEventListener: () => {} });
  return globalThis.document;
}

/** Let everything that was begun and waits for nothing outside come to its end. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
