// The usage view: over time, by model, key and upstream, how long answers take, and the last requests.

import { columnChart, legend, meter } from "./charts.js";
import { announce, h, icon } from "./dom.js";
import { NOTHING, compact, count, moment, share, tick, tickInFull, took } from "./figures.js";
import { limitList } from "./limits.js";
import { failure, page, refreshing } from "./view.js";

const SPANS = [
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
  ["365d", "1 year"],
];
const MEASURES = [
  ["tokens", "Tokens", (row) => row.input_tokens + row.output_tokens],
  ["requests", "Requests", (row) => row.requests],
  ["errors", "Errors", (row) => row.errors],
];
const GROUPS = { model: "Model", key: "Key", upstream: "Upstream", dialect: "API" };
// Series that have a colour of their own; the others are shown together.
const COLOURS = 4;
const OTHER = "others";
// Where a request ended before an upstream was asked.
const NOBODY = "none asked";
const EVERY = 20_000;
const HOUR = 3_600;
const DAY = 24 * HOUR;

const chosen = { since: "7d", measure: "tokens", scope: "" };

/**
 * Shows the view in `element`, an empty <section>; called each time that the view is opened. The function that
 * is returned is called when it is left: it ends timers and requests.
 */
export function mount(element, api) {
  const view = new UsageView(element, api);
  view.load();
  return () => view.leave();
}

class UsageView {
  #api;
  #left = new AbortController();
  #asked = new AbortController();
  #timer;
  #told = "";
  #report = null;

  constructor(element, api) {
    this.#api = api;
    this.whose = h("div", { class: "row" });
    this.body = h("div", { class: "stack", "aria-busy": "true" });
    const spans = choice("Time", "since", SPANS, chosen.since, (value) => this.choose("since", value));
    element.append(page("Usage", this.whose, () => this.load({ say: true }), spans, this.body));
    this.#timer = refreshing(this.body, EVERY, () => this.load({ quiet: true }));
  }

  leave() {
    clearInterval(this.#timer);
    this.#left.abort();
    this.#asked.abort();
  }

  choose(name, value) {
    chosen[name] = value;
    if (name === "measure") this.show();
    else this.load({ say: true });
  }

  async load({ quiet = false, say = false } = {}) {
    this.#asked.abort();
    const asked = (this.#asked = new AbortController());
    this.body.setAttribute("aria-busy", "true");
    const scope = chosen.scope ? `&scope=${chosen.scope}` : "";
    try {
      const report = await this.#api.json(`v1/usage/report?since=${chosen.since}${scope}`, { signal: asked.signal, ask: !quiet });
      const { since, until, ...rest } = report;
      const told = JSON.stringify(rest);
      const changed = told !== this.#told;
      this.#told = told;
      this.#report = report;
      if (changed) this.show();
      if (say) announce(`Usage of the last ${SPANS.find(([value]) => value === chosen.since)[1]}: ${count(total(report.series, "requests"))} requests`);
    } catch (error) {
      if (error.name === "AbortError" || this.#left.signal.aborted) return;
      if (!quiet) this.#fail(error);
    } finally {
      if (asked === this.#asked) this.body.setAttribute("aria-busy", "false");
    }
  }

  #fail(error) {
    this.#told = "";
    this.body.replaceChildren(failure("Usage cannot be shown", error, () => this.load()));
  }

  show() {
    const report = this.#report;
    this.whose.replaceChildren(...this.#scope(report));
    if (!report.series.length) {
      this.body.replaceChildren(
        h(
          "div",
          { class: "card empty" },
          h("h2", {}, "Nothing was used in this time"),
          h("p", {}, "Every answer of the gateway is counted here a moment after it ends."),
          h("a", { class: "button primary", href: "#chat" }, "Ask something"),
        ),
      );
      return;
    }
    const parts = [
      tiles(report),
      this.#limits(report),
      this.#overTime(report),
      h("div", { class: "columns" }, groups(report), times(report), troubles(report)),
      requests(report),
    ];
    this.body.replaceChildren(...parts.filter(Boolean));
  }

  #scope(report) {
    if (!report.may_see_all) return [h("span", { class: "badge" }, report.key.name ? `Key ${report.key.name}` : "Your own")];
    if (!report.key.id) return [];
    return [
      choice(
        "Whose",
        "scope",
        [["all", "Everybody"], ["own", "This key"]],
        report.scope,
        (value) => this.choose("scope", value),
      ),
    ];
  }

  #limits(report) {
    const limits = Object.entries(report.limits);
    return limits.length ? h("section", { class: "card", "aria-labelledby": "limits" }, h("h2", { id: "limits" }, "Limits of this key"), limitList(report.limits)) : null;
  }

  #overTime(report) {
    const [, title, measured] = MEASURES.find(([name]) => name === chosen.measure);
    const { columns, series } = stacked(report, measured);
    const readout = h("p", { class: "hint readout", "aria-hidden": "true" });
    const usual = report.per === "hour" ? "By the hour, in UTC" : "By the day, in UTC";
    const read = (column) => {
      readout.textContent = column
        ? `${tickInFull(column.label)}: ${series.map((name, nth) => `${name} ${count(column.values[nth])}`).join(", ")}`
        : usual;
    };
    read(null);
    const filled = columns.filter(({ values }) => values.some((value) => value > 0));
    return h(
      "section",
      { class: "card", "aria-labelledby": "over-time" },
      h(
        "div",
        { class: "row" },
        h("h2", { id: "over-time" }, "Over time"),
        h("span", { class: "grow" }),
        choice("Measure", "measure", MEASURES, chosen.measure, (value) => this.choose("measure", value)),
      ),
      columnChart({
        columns,
        series,
        format: compact,
        short: tick,
        label: `${title} ${report.per === "hour" ? "by hour" : "by day"} and model; the table below says the same`,
        read,
      }),
      h("div", { class: "row chart-foot" }, legend(series), h("span", { class: "grow" }), readout),
      h(
        "details",
        { class: "as-table" },
        h("summary", {}, icon("chevron"), "The same as a table"),
        table(
          `${title} over time`,
          [report.per === "hour" ? "Hour" : "Day", ...series],
          filled.reverse().map(({ label, values }) => [tickInFull(label), ...values.map(number(count))]),
        ),
      ),
    );
  }
}

// -- parts -------------------------------------------------------------------------------------------------

/** Radio buttons that look like one switch. */
function choice(label, name, options, value, changed) {
  return h(
    "fieldset",
    { class: "choice" },
    h("legend", { class: "unseen" }, label),
    options.map(([option, text]) =>
      h(
        "label",
        {},
        h("input", { type: "radio", name, value: option, checked: option === value, on: { change: () => changed(option) } }),
        h("span", {}, text),
      ),
    ),
  );
}

const total = (rows, name) => rows.reduce((sum, row) => sum + row[name], 0);
const number = (format) => (value) => ({ number: format(value) });

function table(label, heads, rows) {
  return h(
    "div",
    { class: "table-box", tabindex: "0", role: "region", "aria-label": `${label}, table` },
    h(
      "table",
      { class: "table" },
      h("thead", {}, h("tr", {}, heads.map((head, nth) => h("th", { scope: "col", class: isNumber(rows[0]?.[nth]) && "number" }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map(cell)))),
    ),
  );
}

const isNumber = (value) => value !== null && typeof value === "object" && "number" in value;

function cell(value) {
  return isNumber(value) ? h("td", { class: "number" }, value.number) : h("td", {}, value);
}

function tiles({ series, recent }) {
  const asked = total(series, "requests");
  const errors = total(series, "errors");
  const repairs = total(series, "repairs");
  const limited = total(series, "rate_limited");
  const input = total(series, "input_tokens");
  const output = total(series, "output_tokens");
  const [times] = recent.times;
  return h(
    "dl",
    { class: "tiles" },
    tile("Requests", compact(asked), limited ? `${count(limited)} met a limit` : "none met a limit"),
    tile("Tokens", compact(input + output), `${compact(input)} in, ${compact(output)} out`),
    tile("First token", took(times.first_ms.p50), `95% within ${took(times.first_ms.p95)}`),
    tile("Whole answer", took(times.total_ms.p50), `95% within ${took(times.total_ms.p95)}`),
    tile("Errors", share(errors, asked), `${count(errors)} of ${count(asked)}`),
    tile("Repairs", count(repairs), repairs ? "asked again, fitted" : "none needed"),
  );
}

function tile(name, value, more) {
  return h("div", { class: "card tile" }, h("dt", {}, name), h("dd", { class: "value" }, value), h("dd", { class: "hint" }, more));
}

/** Columns for every hour or day of the time, also for those without a request. */
function stacked({ series: rows, since, until, per }, measured) {
  const models = new Map();
  for (const row of rows) models.set(row.model, (models.get(row.model) ?? 0) + measured(row));
  const ordered = [...models.keys()].sort((one, other) => models.get(other) - models.get(one) || one.localeCompare(other));
  const own = ordered.length > COLOURS ? ordered.slice(0, COLOURS - 1) : ordered;
  const series = own.length < ordered.length ? [...own, OTHER] : own;
  const step = per === "hour" ? HOUR : DAY;
  const columns = new Map();
  for (let at = Math.floor(since / step) * step; at <= until; at += step) {
    const label = new Date(at * 1_000).toISOString();
    columns.set(per === "hour" ? `${label.slice(0, 13)}:00Z` : label.slice(0, 10), series.map(() => 0));
  }
  for (const row of rows) {
    const values = columns.get(row.at);
    const nth = own.indexOf(row.model);
    if (values) values[nth < 0 ? series.length - 1 : nth] += measured(row);
  }
  return { columns: [...columns].map(([label, values]) => ({ label, values })), series: series.map((name) => name || "(none)") };
}

function groups({ groups: found }) {
  // Where there are no keys, all of it is nobody's.
  const told = ([by]) => found[by]?.length && (by !== "key" || found.key.some((row) => row.key));
  return Object.entries(GROUPS).filter(told).map(([by, title]) => {
    const rows = [...found[by]].sort((one, other) => tokens(other) - tokens(one));
    const most = tokens(rows[0]);
    const heading = `By ${title === "API" ? title : title.toLowerCase()}`;
    const name = (row) => row.name || row[by] || (by === "upstream" ? NOBODY : "(none)");
    return h(
      "section",
      { class: "card flush", "aria-labelledby": `by-${by}` },
      h("h2", { id: `by-${by}` }, heading),
      table(
        heading,
        [title, "Requests", "Tokens", "Errors"],
        rows.map((row) => [
          h("div", { class: "named" }, h("span", { class: "name", title: row[by] }, name(row)), meter(tokens(row), most)),
          { number: count(row.requests) },
          { number: compact(tokens(row)) },
          { number: row.errors ? share(row.errors, row.requests) : NOTHING },
        ]),
      ),
    );
  });
}

const tokens = (row) => row.input_tokens + row.output_tokens;

function times({ recent }) {
  const pairs = (row) => [
    { number: took(row.first_ms.p50) },
    { number: took(row.first_ms.p95) },
    { number: took(row.total_ms.p50) },
    { number: took(row.total_ms.p95) },
  ];
  return h(
    "section",
    { class: "card flush", "aria-labelledby": "times" },
    h("h2", { id: "times" }, "How long answers take"),
    h("p", { class: "hint" }, `Of the last ${count(recent.turns)} requests in this time: half are faster than the median, 95% faster than p95.`),
    table(
      "How long answers take",
      ["Model", "First token, median", "p95", "Whole, median", "p95"],
      recent.times.map((row) => [h("span", { class: "nowrap" }, row.model || "all"), ...pairs(row)]),
    ),
  );
}

function troubles({ recent }) {
  const lists = [
    ["Errors by code", recent.errors, "code", "bad"],
    ["Limits that were met", recent.rate_limits, "code", "warn"],
    ["Repairs by kind", recent.repairs, "kind", ""],
  ];
  return h(
    "section",
    { class: "card", "aria-labelledby": "troubles" },
    h("h2", { id: "troubles" }, "What went wrong"),
    h("p", { class: "hint" }, `In the last ${count(recent.turns)} requests in this time.`),
    lists.map(([title, rows, name, kind]) => [
      h("h3", {}, title),
      rows.length ? bars(rows.map((row) => [row[name], row.count]), kind) : h("p", { class: "hint" }, "None."),
    ]),
  );
}

function bars(rows, kind) {
  const most = Math.max(...rows.map(([, value]) => value));
  return h(
    "ul",
    { class: "bars" },
    rows.map(([name, value]) => h("li", {}, h("code", {}, name), h("span", { class: "number" }, count(value)), meter(value, most, kind))),
  );
}

function requests({ requests: rows, scope }) {
  const everybody = scope === "all" && rows.some((row) => row.key);
  const heads = ["Time", everybody && "Key", "API", "Model", "Upstream", "Outcome", "In", "Out", "First token", "Whole", "Repairs", "Request"];
  return h(
    "section",
    { class: "card flush long", "aria-labelledby": "requests" },
    h("h2", { id: "requests" }, "Last requests"),
    h("p", { class: "hint" }, `The newest ${count(rows.length)}. What was asked and answered is kept nowhere.`),
    table(
      "Last requests",
      heads.filter(Boolean),
      rows.map((row) =>
        [
          h("span", { class: "nowrap" }, moment(row.at)),
          everybody && (row.name || row.key || NOTHING),
          row.dialect,
          h("span", { class: "nowrap" }, row.model || NOTHING),
          h("span", { class: "nowrap" }, row.upstream || NOBODY),
          outcome(row),
          { number: count(row.prompt) },
          { number: count(row.completion) },
          { number: took(row.first_ms) },
          { number: took(row.total_ms) },
          { number: row.repairs ? count(row.repairs) : NOTHING },
          h("code", {}, row.request_id),
        ].filter((value) => value !== false),
      ),
    ),
  );
}

function outcome({ outcome: code, status }) {
  if (code === "ok") return h("span", { class: "badge good" }, "ok");
  const kind = status === 429 || code === "client_gone" || code === "cancelled" ? "warn" : "bad";
  return h("span", { class: `badge ${kind}` }, status === 200 ? code : `${status} ${code}`);
}
