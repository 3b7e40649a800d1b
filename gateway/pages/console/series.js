/** What charts draw, made of what the API answers. Pure. */

const MOST_SERIES = 4;

/** The failures of each bucket as a chart has them: one series for each of the most frequent reasons. Pure. */
export function bucketSeries(report, label = (reason) => reason) {
  const times = report.buckets.map((bucket) => Date.parse(bucket.start) / 1000);
  const reasons = (report.causes ?? []).slice(0, MOST_SERIES).map((cause) => cause.failureReason);
  const count = (bucket, reason) => bucket.reasons?.find((each) => each.failureReason === reason)?.failures ?? 0;
  if (reasons.length < 2) return { times, series: [{ label: reasons[0] ? label(reasons[0]) : label("all"), values: report.buckets.map((bucket) => bucket.failures) }] };
  // Stacked by hand: each series is drawn over the next, so each holds the sum from itself on.
  const series = reasons.map((reason, index) => ({ label: label(reason), values: report.buckets.map((bucket) => reasons.slice(index).reduce((sum, each) => sum + count(bucket, each), 0)), own: report.buckets.map((bucket) => count(bucket, reason)) }));
  return { times, series };
}

/** The trend as a chart has it: one row of times, and a value or null for each component at each. Pure. */
export function trendSeries(trend) {
  const components = trend.components ?? [];
  const times = [...new Set(components.flatMap((each) => (each.points ?? []).map((point) => Date.parse(point.time) / 1000)))].sort((one, other) => one - other);
  const series = components.map((each) => {
    const told = new Map((each.points ?? []).map((point) => [Date.parse(point.time) / 1000, point.health ?? null]));
    return { label: each.name ?? each.id, values: times.map((time) => told.get(time) ?? null) };
  });
  return { times, series };
}
