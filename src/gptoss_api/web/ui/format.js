// Numbers and times as people read them.

const NUMBER = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 12345 as "12,345". */
export function number(value) {
  return NUMBER.format(value);
}

/** 12345 as "12.3K". */
export function compact(value) {
  return COMPACT.format(value);
}

/** Milliseconds as "350 ms", "2.4 s" or "3 min 5 s"; a dash where there are none. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** "1 token", "2 tokens". */
export function counted(value, name) {
  return `${number(value)} ${name}${value === 1 ? "" : "s"}`;
}
