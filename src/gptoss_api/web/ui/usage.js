// The usage view.

import { h } from "./dom.js";

/**
 * Shows the view in `element`, an empty <section>; called each time that the view is opened. The function that
 * is returned is called when it is left: it ends timers and requests.
 */
export function mount(element, api) {
  element.append(h("h1", { class: "lone" }, "Usage"));
  return () => {};
}
