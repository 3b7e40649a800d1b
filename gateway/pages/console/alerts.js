/** The active alerts after one more: what is cleared goes, and what only informs is news and no alert. Pure. */
export function activeAlerts(alerts, { data, timestamp }) {
  const key = (each) => `${each.code} ${each.componentId ?? ""}`;
  const others = alerts.filter((each) => key(each) !== key(data));
  return data.cleared || data.severity === "INFO" ? others : [{ ...data, timestamp }, ...others];
}
