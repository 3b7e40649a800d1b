/** What the form says differently from the settings as they were read. Pure. */
export function changedSettings(config, values) {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => config[name] !== value));
}
