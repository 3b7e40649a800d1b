/** Elements without markup: nothing here, and nothing built on it, parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 * @param {string} tag
 * @param {Object} [attributes] `onclick` and the like are listeners; `data` is the dataset; false, null and undefined leave an
 *   attribute out, true sets it empty. There is no `style`: the content security policy refuses it, so use a class.
 * @param {...(Node|string|null|false)} children texts are text
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. @returns {SVGElement} */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Take everything out of a node. @returns {Node} the node */
export function clear(node) {
  node.replaceChildren();
  return node;
}

/** Put these into a node in place of what is in it; false, null and undefined are left out, as by el(). @returns {Node} the node */
export function fill(node, ...children) {
  return filled(clear(node), {}, children);
}

/** Show or hide without moving the focus. */
export function show(node, visible) {
  node.hidden = !visible;
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "style") throw new TypeError("use a class");
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value" && "value" in node) node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
