/** What tells the series of a chart apart where colours do not: dashes, and numbers that are drawn where each series is. Pure. */

/** The sheet's colours that series have, in turn. */
export const COLOURS = ["--accent", "--warn", "--good", "--bad", "--muted"];
const DASHES = [[], [8, 4], [2, 4], [12, 4, 2, 4], [4, 8]];

/** Return how the series at `index` is drawn: {colour, dash}, another pair for each of 25. */
export function strokeOf(index) {
  const turn = Math.floor(index / COLOURS.length);
  return { colour: COLOURS[index % COLOURS.length], dash: DASHES[(index + turn) % DASHES.length] };
}

/** Return what a series is called in the legend and the table: with its number in the drawing, where there are several. */
export function labelOf(series, index) {
  return series.length > 1 ? `${index + 1} · ${series[index].label}` : series[index].label;
}

/**
 * Return where numbers are drawn: of bars within each series' own part, of lines at their last value.
 * @param {{values: (number|null)[], own?: (number|null)[]}[]} series @param {"line"|"bars"} kind
 * @returns {{number: number, at: number, value: number, height: number}[]} `at` is an index of the times, `value` the middle of the
 *   part and `height` its height, both in the chart's unit; a line's height is Infinity
 */
export function numbersOf(series, kind) {
  if (series.length < 2) return [];
  return series.flatMap(({ values, own = values }, index) => {
    const number = index + 1;
    if (kind === "bars") return own.flatMap((height, at) => (height > 0 ? [{ number, at, value: values[at] - height / 2, height }] : []));
    const at = values.findLastIndex((value) => value !== null);
    return at < 0 ? [] : [{ number, at, value: values[at], height: Infinity }];
  });
}
