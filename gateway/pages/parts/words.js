/**
 * The words of the pages, in every language there is. A text is found by its key; `words/*.json` hold them, one book for the parts, one
 * of why commands fail (generated from the contract's `failure_text`) and one for each page, and a test holds the languages to the same keys and the pages to keys that exist.
 */

import { el } from "./dom.js";

export const LANGUAGES = ["en", "ko"];
const NAMES = { en: "English", ko: "한국어" };
const KEPT = "language";
const SHARED = ["", "failures"];
const BASE = new URL("../words/", import.meta.url);

let shown = "en";
let books = SHARED;
let dictionary = {};
const listeners = new Set();

/**
 * Load the words of a language.
 * @param {{books?: string[], language?: string}} [options] `books`: folders below words/ beside those of every page.
 */
export async function loadWords(options = {}) {
  books = [...SHARED, ...(options.books ?? [])];
  await setLanguage(options.language ?? preferred());
}

/** The language that is shown: one of LANGUAGES. */
export function language() {
  return shown;
}

/** Show another language, and keep the choice for the next visit. */
export async function setLanguage(tag) {
  const chosen = LANGUAGES.includes(tag) ? tag : "en";
  const loaded = await Promise.all(books.map((book) => read(`${book ? `${book}/` : ""}${chosen}.json`)));
  useWords(chosen, Object.assign({}, ...loaded));
  keep(chosen);
  document.documentElement.lang = chosen;
  translate(document);
  for (const listener of [...listeners]) listener();
}

/** Use these words; what setLanguage does once it has read them. */
export function useWords(tag, words) {
  shown = tag;
  dictionary = words;
}

/** Be told after each change of the language. @returns {() => void} what ends it */
export function onLanguage(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * The text of a key, with `{name}` replaced.
 * @throws {RangeError} for a key that no book has: a mistake of the page, not of who reads it.
 */
export function t(key, values = {}) {
  if (!Object.hasOwn(dictionary, key)) throw new RangeError(`no words for ${key}`);
  return dictionary[key].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The text of one value of a closed list; a value that is newer than this page is shown as it came. */
export function word(group, value) {
  const key = `${group}.${value}`;
  return Object.hasOwn(dictionary, key) ? dictionary[key] : String(value);
}

/** Whether there are words for it. */
export function hasWord(key) {
  return Object.hasOwn(dictionary, key);
}

/** Put the words in all that names a key: `data-word`, `data-word-label`, `data-word-placeholder`, `data-word-title`. */
export function translate(root = document) {
  for (const node of root.querySelectorAll("[data-word]")) node.textContent = t(node.dataset.word);
  for (const [name, attribute] of [["wordLabel", "aria-label"], ["wordPlaceholder", "placeholder"], ["wordTitle", "title"]]) {
    const selector = `[data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}]`;
    for (const node of root.querySelectorAll(selector)) node.setAttribute(attribute, t(node.dataset[name]));
  }
}

/**
 * What a problem says to people: of a code that is known in their language, else as it came.
 * @param {Object|null} problem application/problem+json, an error that has it as `problem`, or null where nothing answered
 * @returns {{title: string, detail: string, next: string}} `next` is what to do now, "" where nothing is known
 */
export function problemText(problem) {
  problem = problem?.problem ?? problem;
  const code = problem?.code ?? "UNREACHABLE";
  const key = `problem.${code}`;
  const title = hasWord(key) ? t(key) : (problem?.title ?? t("problem.UNKNOWN"));
  // The details are English: what they say beyond the code (which door, which field) is worth it in any language.
  const fields = (problem?.errors ?? []).map((each) => `${each.field}: ${each.reason}`).join("; ");
  const detail = [problem?.detail ?? "", fields].filter(Boolean).join(" ");
  return { title, detail, next: hasWord(`${key}.next`) ? t(`${key}.next`) : "" };
}

/** The time of day, or with the date where it is another day. */
export function formatTime(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return t("state.unknown");
  const today = new Date().toDateString() === time.toDateString();
  return new Intl.DateTimeFormat(shown, today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" }).format(time);
}

/** How long ago, in the largest unit that says it. */
export function formatAge(seconds) {
  const past = Math.max(0, Math.round(seconds));
  if (past < 5) return t("age.now");
  const [unit, size] = past < 60 ? ["second", 1] : past < 3600 ? ["minute", 60] : past < 86400 ? ["hour", 3600] : ["day", 86400];
  return new Intl.RelativeTimeFormat(shown, { style: "short" }).format(-Math.floor(past / size), unit);
}

export function formatNumber(value, options = {}) {
  return new Intl.NumberFormat(shown, { maximumFractionDigits: 1, ...options }).format(value);
}

/** Buttons that switch the language, each in its own. @returns {HTMLElement} */
export function languageSwitch() {
  const buttons = LANGUAGES.map((tag) =>
    el("button", { type: "button", class: "quiet small", lang: tag, data: { language: tag }, onclick: () => setLanguage(tag) }, NAMES[tag]),
  );
  const mark = () => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.language === shown)));
  onLanguage(mark);
  mark();
  return el("div", { class: "row tight", role: "group", data: { wordLabel: "language" }, "aria-label": t("language") }, buttons);
}

function preferred() {
  const wanted = [kept(), ...(navigator.languages ?? [navigator.language])].filter(Boolean).map((tag) => tag.slice(0, 2));
  return wanted.find((tag) => LANGUAGES.includes(tag)) ?? "en";
}

// Where the browser keeps nothing (private windows, blocked storage) the choice lasts as long as the page.
function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function keep(tag) {
  try {
    localStorage.setItem(KEPT, tag);
  } catch {
    document.documentElement.dataset.language = tag;
  }
}

async function read(name) {
  const answer = await fetch(new URL(name, BASE));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer.json();
}
