// The limits of a key.

import { meter } from "./charts.js";
import { h } from "./dom.js";
import { count, span } from "./figures.js";

/** How a key's limits stand, as `GET /v1/usage` tells it. */
export function limitList(limits) {
  return h(
    "ul",
    { class: "bars" },
    Object.entries(limits).map(([name, { limit, used, remaining, reset_seconds: reset }]) =>
      h(
        "li",
        {},
        h("span", {}, name.replaceAll("_", " ")),
        h("span", { class: "number" }, `${count(used)} of ${count(limit)}`),
        meter(used, limit, remaining ? "" : "bad"),
        reset !== null && used > 0 && h("span", { class: "hint whole" }, `All of it is back in ${span(reset)}`),
      ),
    ),
  );
}
