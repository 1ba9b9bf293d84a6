// What the views that show changing facts have in common.

import { h, iconButton } from "./dom.js";

/** A page of its own: `title`, what stands beside it, a button that loads again, more `controls`, and its `parts`. */
export function page(title, beside, load, controls, ...parts) {
  return h(
    "div",
    { class: "page" },
    h(
      "div",
      { class: "page-head" },
      h("h1", {}, title),
      beside,
      h("span", { class: "grow" }),
      iconButton("retry", "Load again", load),
      controls,
    ),
    parts,
  );
}

/** Calls `load` every so many milliseconds while the page is seen and nobody is at something in `body`; for clearInterval. */
export function refreshing(body, every, load) {
  return setInterval(() => {
    if (!document.hidden && !body.contains(document.activeElement)) load();
  }, every);
}

/** Stands where facts would: why they cannot be shown, and a button that tries `again`. */
export function failure(title, error, again) {
  return h(
    "div",
    { class: "card empty", role: "alert" },
    h("h2", {}, title),
    h("p", {}, error.message),
    h("button", { type: "button", class: "button", on: { click: again } }, "Try again"),
  );
}
