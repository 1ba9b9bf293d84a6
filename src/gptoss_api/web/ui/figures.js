// Numbers, times and durations as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const part = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const dayOf = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const longDayOf = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const momentOf = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** What stands where nothing is known. */
export const NOTHING = "–";

export const count = (number) => whole.format(number);

/** A number of at most six characters: 9,500, 12.4K, 3.1M. */
export const compact = (number) => (number < 10_000 ? whole : short).format(number);

export const share = (of, all) => (all ? part.format(of / all) : NOTHING);

/** Milliseconds in the unit that suits them. */
export function took(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return NOTHING;
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 100_000) return `${(milliseconds / 1_000).toFixed(1)} s`;
  return span(milliseconds / 1_000);
}

/** Seconds as their two largest units. */
export function span(seconds) {
  const units = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  let left = Math.round(seconds);
  const told = [];
  for (const [size, unit] of units) {
    if (left >= size || (unit === "s" && !told.length)) told.push(`${Math.floor(left / size)} ${unit}`);
    else if (told.length) break;
    left %= size;
    if (told.length === 2) break;
  }
  return told.join(" ");
}

/** A moment of Unix seconds by the clock of whoever reads it. */
export const moment = (seconds) => momentOf.format(seconds * 1_000);

/** The label of an hour or a day of UTC as the gateway gives it, in short. */
export function tick(label) {
  return label.includes("T") ? label.slice(11, 16) : dayOf.format(new Date(`${label}T00:00Z`));
}

/** The same in full. */
export function tickInFull(label) {
  const day = longDayOf.format(new Date(`${label.slice(0, 10)}T00:00Z`));
  return label.includes("T") ? `${day}, ${label.slice(11, 16)} UTC` : day;
}
