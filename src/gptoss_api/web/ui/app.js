// The shell: which view is shown, the theme, the key, and what is said above every view.

import { Api } from "./api.js";
import { announce, h, icon, iconButton } from "./dom.js";

const VIEWS = {
  chat: { title: "Chat", load: () => import("./chat.js") },
  usage: { title: "Usage", load: () => import("./usage.js") },
  status: { title: "Status", load: () => import("./status.js") },
};
const THEMES = [
  ["auto", "Theme: as the system"],
  ["light", "Theme: light"],
  ["dark", "Theme: dark"],
];
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };

const api = new Api();
const main = document.getElementById("main");
let shown = null;
let leave = () => {};

async function show() {
  const name = location.hash.slice(1).split("/")[0] || "chat";
  if (name === shown || !(name in VIEWS)) {
    if (shown === null) location.replace("#chat");
    return;
  }
  const first = shown === null;
  shown = name;
  leave();
  leave = () => {};
  const { title, load } = VIEWS[name];
  document.title = `${title} · gptoss-api`;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const section = h("section", { class: `view view-${name}`, "aria-label": title });
  main.replaceChildren(section);
  if (!first) {
    main.focus({ preventScroll: true });
    announce(title);
  }
  const { mount } = await load();
  if (shown === name) leave = mount(section, api) ?? leave;
}

// -- theme -------------------------------------------------------------------------------------------------

function themeButton() {
  const button = iconButton("auto", "", () => {
    const next = (THEMES.findIndex(([name]) => name === current()) + 1) % THEMES.length;
    choose(THEMES[next][0]);
    paint();
    announce(button.title);
  });
  const current = () => document.documentElement.dataset.theme ?? "auto";
  const paint = () => {
    const [name, label] = THEMES.find(([theme]) => theme === current());
    button.replaceChildren(icon(THEME_ICONS[name]));
    button.title = label;
    button.setAttribute("aria-label", label);
  };
  paint();
  return button;
}

function choose(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("gptoss.theme", theme);
  } catch {
    // It lasts until the page is left.
  }
}

// -- key ---------------------------------------------------------------------------------------------------

let asking = null;

/** One dialog for however many requests want a key at once. */
api.askForKey = (reason) => {
  asking ??= askForKey(reason).finally(() => {
    asking = null;
  });
  return asking;
};

function askForKey(reason) {
  const field = h("input", { type: "password", id: "key", autocomplete: "off", spellcheck: "false", required: true });
  const remember = h("input", { type: "checkbox", id: "remember" });
  const forget =
    api.hasKey &&
    h("button", { type: "button", class: "button", on: { click: () => (api.forgetKey(), dialog.close("forgotten")) } }, "Forget the key");
  const form = h(
    "form",
    {
      on: {
        submit: (event) => {
          event.preventDefault();
          const key = field.value.trim();
          if (!key) return;
          api.useKey(key, remember.checked);
          dialog.close("given");
        },
      },
    },
    h("h2", { id: "key-title" }, "API key"),
    h("p", { id: "key-reason" }, reason),
    h("label", { for: "key" }, "Key"),
    field,
    h("label", { class: "check" }, remember, h("span", {}, "Remember it in this browser")),
    h("p", { class: "hint" }, "Otherwise it is forgotten when this tab closes. It is sent to this gateway only, never in an address."),
    h(
      "div",
      { class: "row end" },
      forget,
      h("button", { type: "button", class: "button", on: { click: () => dialog.close("") } }, "Cancel"),
      h("button", { type: "submit", class: "button primary" }, "Use this key"),
    ),
  );
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "key-title", "aria-describedby": "key-reason" }, form);
  document.body.append(dialog);
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "given");
    });
  });
}

document.getElementById("tools").append(
  iconButton("key", "API key", async () => {
    if (await api.askForKey("The key that this page sends to the gateway.")) location.reload();
  }),
  themeButton(),
);

document.getElementById("skip").addEventListener("click", (event) => {
  // The address says which view is shown.
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);
show();
