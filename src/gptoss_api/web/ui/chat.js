// The chat view.

import { h } from "./dom.js";

/** See usage.js for what a view is given. */
export function mount(element, api) {
  element.append(h("h1", { class: "lone" }, "Chat"));
  return () => {};
}
