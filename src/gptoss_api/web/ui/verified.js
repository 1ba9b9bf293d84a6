// What `gptoss-api verify` found out about the upstreams.

import { h } from "./dom.js";
import { NOTHING, moment, share, took } from "./figures.js";

/** In a few words, what is known of one upstream and model. */
export function measured({ model, latest }) {
  const score = latest.score === null ? "not measured" : share(latest.score, 1);
  return `${model} ${score}${latest.complete ? "" : ", not to its end"} (${moment(latest.started)})`;
}

/** The score cards side by side, the best first: one column for each upstream and model. */
export function scoreCards(told) {
  const verified = [...told].sort((one, other) => (other.latest.score ?? -1) - (one.latest.score ?? -1));
  const cards = verified.map(({ latest }) => latest);
  const titles = new Map(cards.flatMap(({ checks }) => checks.map(({ name, title }) => [name, title[0].toUpperCase() + title.slice(1)])));
  const heads = verified.map(({ upstream, model }) => h("th", { scope: "col", class: "number" }, upstream, h("br"), model));
  const rows = [
    ...[...titles].map(([name, title]) => [title, ({ checks }) => rate(checks.find((check) => check.name === name))]),
    ["Score", ({ score }) => percent(score)],
    ["With the gateway's repairs", (card) => percent(card.gateway_score)],
    ["First token, half of all", (card) => took(card.first_token_ms.p50)],
    ["Measured", ({ started, complete }) => `${moment(started)}${complete ? "" : ", not to its end"}`],
  ];
  return h(
    "section",
    { class: "card flush", "aria-labelledby": "verified" },
    h("h2", { id: "verified" }, "How well they serve the models"),
    h("p", { class: "hint" }, "By 'gptoss-api verify', before the gateway mends anything. A star marks what the gateway emulates."),
    h(
      "div",
      { class: "table-box", tabindex: "0", role: "region", "aria-label": "Score cards, table" },
      h(
        "table",
        { class: "table" },
        h("thead", {}, h("tr", {}, h("td"), heads)),
        h("tbody", {}, rows.map(([title, value]) => h("tr", {}, h("th", { scope: "row" }, title), cards.map((card) => h("td", { class: "number" }, value(card)))))),
      ),
    ),
  );
}

const percent = (value) => (value === null ? NOTHING : share(value, 1));

/** That of the server itself, or of what is done in its place. */
function rate(check) {
  if (!check) return NOTHING;
  return check.raw ? percent(check.raw.pass_at_1) : `${percent(check.gateway.pass_at_1)}*`;
}
