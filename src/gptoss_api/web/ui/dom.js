// Elements, made without ever reading HTML: text stays text.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element. `properties`: `class`, `on` ({event: listener}), `dataset`, and attributes; `true` sets an
 * attribute without a value, `false`, `null` and `undefined` leave it out. `children` are nodes, strings, lists
 * of them, or nothing.
 *
 *   h("button", {class: "button", type: "button", on: {click: send}}, "Send")
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else element.setAttribute(name, value === true ? "" : value);
  }
  // One by one: an answer may have more parts than a call takes arguments.
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

const ICONS = {
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M5.5 11.5 12 5l6.5 6.5",
  stop: "M7.5 7.5h9v9h-9z",
  copy: "M9 9h10v10H9zM5 15V5h10",
  check: "M5 12.5l4.5 4.5L19 7.5",
  retry: "M20 12a8 8 0 1 1-2.6-5.9M20 4v4.5h-4.5",
  edit: "M4.5 19.5l1-4L16 5l3 3L8.5 18.5zM14 7l3 3",
  trash: "M5 7h14M10 7V4.8h4V7M7 7l.8 12.2h8.4L17 7M10.3 10.5v5.5M13.7 10.5v5.5",
  download: "M12 4.5v10M7.5 10.5 12 15l4.5-4.5M5 19.5h14",
  key: "M14.5 4.5a5 5 0 1 1-3.6 8.5L9 15H7v2H5v2H3.5v-3.2l6.2-6.2a5 5 0 0 1 4.8-5.1zM15.7 8.3h.02",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.8v2M12 19.2v2M2.8 12h2M19.2 12h2M5.5 5.5l1.4 1.4M17.1 17.1l1.4 1.4M5.5 18.5l1.4-1.4M17.1 6.9l1.4-1.4",
  moon: "M19.5 14.3A8 8 0 0 1 9.7 4.5a8 8 0 1 0 9.8 9.8z",
  auto: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  menu: "M4.5 7h15M4.5 12h15M4.5 17h15",
  close: "M6 6l12 12M18 6 6 18",
  sliders: "M4 7.5h9M17 7.5h3M13 5v5M4 16.5h3M11 16.5h9M7 14v5",
  tool: "M14.5 6.5a4 4 0 0 0-5.3 5.2L4 17l3 3 5.3-5.2a4 4 0 0 0 5.2-5.3l-2.6 2.6-2.9-.7-.7-2.9z",
  warning: "M12 4.5 21 19.5H3zM12 10.5v4M12 16.9h.02",
  chevron: "M9 6l6 6-6 6",
};

/** One of the page's icons, for the eye only: what it stands for is said beside it or in a label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon alone; `label` is what screen readers and the pointer are told. */
export function iconButton(name, label, click, properties = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, on: { click }, ...properties }, icon(name));
}

/** A button that copies what `text()` gives and says so for a moment. */
export function copyButton(text, label = "Copy") {
  const button = iconButton("copy", label, async () => {
    const copied = await copy(text());
    announce(copied ? "Copied" : "The browser does not let this page copy");
    if (!copied) return;
    button.replaceChildren(icon("check"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP from another machine there is no clipboard but by a selection.
    const field = h("textarea", { class: "unseen", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}

/** A sentence with a command after a colon, and maybe a remark behind it: the command as code, with a button that copies it. */
export function withCommand(text) {
  const [, before, typed, remark] = /^(.*?: )([^(]*gptoss[-_]api [^(]*?)(\s*\(.*)?$/.exec(text) ?? [];
  return typed ? [before, command(typed), remark] : text;
}

/** What is to be typed, as code with a button that copies it. */
export function command(text) {
  return h("span", { class: "command" }, h("code", {}, text), copyButton(() => text, `Copy: ${text}`));
}

/** Has screen readers say `text` once they are done with what they say, which may be what came just before. */
export function announce(text) {
  const said = h("p", {}, text);
  document.getElementById("announcer").append(said);
  setTimeout(() => said.remove(), 30_000);
}
