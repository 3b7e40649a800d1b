/** Tables that fit a phone. */

import { el } from "./dom.js";
import { t } from "./words.js";

/**
 * A table whose rows are cards on a narrow screen, each value beside its column's name.
 *
 * The roles are those that a table has by itself, and loses where its rows are shown as cards.
 * @param {{caption: string, columns: string[], part: string, head?: number, numbers?: string[], label?: string}} told `columns` are keys of words, `head` is
 *   the column that names a row, -1 where none does, `numbers` are the columns that are set to the end,
 *   `label` names the region, as the caption does where there is none
 * @param {{cells: Array, data?: Object}[]} rows a cell is what el() takes as a child, or several
 * @returns {HTMLElement} within a region that scrolls where it is too wide all the same
 */
export function cardTable({ caption, columns, part, head = 0, numbers = [], label = caption }, rows) {
  const row = ({ cells, data = {} }) => el("tr", { role: "row", data }, cells.map((inside, index) => {
    const [isHead, isNumber] = [index === head, numbers.includes(columns[index])];
    const given = { data: { label: t(columns[index]) }, class: isNumber && "number", scope: isHead && "row", role: isHead ? "rowheader" : "cell" };
    return el(isHead ? "th" : "td", given, el("div", {}, [inside].flat()));
  }));
  const names = el("tr", { role: "row" }, columns.map((key) => el("th", { scope: "col", role: "columnheader" }, t(key))));
  const table = el("table", { class: "data wide cards", role: "table", data: { part } }, el("caption", {}, caption),
    el("thead", { role: "rowgroup" }, names), el("tbody", { role: "rowgroup" }, rows.map(row)));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}
