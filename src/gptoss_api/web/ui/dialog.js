// Dialogs that are made when they are needed and gone when they close.

import { h } from "./dom.js";

let count = 0;

/**
 * Opens a dialog with a form and resolves to what `submit()` gives, or to null where it is cancelled.
 *
 * `submit` may throw an Error, whose message is shown; the dialog then stays open. `danger` says that
 * something is lost by it. `extra` are further buttons.
 */
export function openDialog({ title, content = [], confirm, submit = () => true, danger = false, extra = [], wide = false }) {
  count += 1;
  const id = `dialog-${count}`;
  const problem = h("p", { class: "problem-line", role: "alert", hidden: true });
  return new Promise((resolve) => {
    let result = null;
    const form = h(
      "form",
      {
        on: {
          submit: (event) => {
            event.preventDefault();
            try {
              result = submit();
            } catch (error) {
              problem.hidden = false;
              problem.textContent = error.message;
              return;
            }
            dialog.close();
          },
        },
      },
      h("h2", { id }, title),
      content,
      problem,
      h(
        "div",
        { class: "row end" },
        extra,
        h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "Cancel"),
        h("button", { type: "submit", class: `button ${danger ? "danger" : "primary"}` }, confirm),
      ),
    );
    const dialog = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": id }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    form.querySelector("input, textarea, .danger")?.focus();
  });
}

/** A field with its label, and a hint below it. */
export function labelled(label, field, hint) {
  field.id ||= `field-${(count += 1)}`;
  return h("div", { class: "field" }, h("label", { for: field.id }, label), field, hint && h("p", { class: "hint" }, hint));
}
