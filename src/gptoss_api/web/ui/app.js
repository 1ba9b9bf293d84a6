// The shell: which view is shown, the theme, the key, and what is said above every view.

import { Api } from "./api.js";
import { labelled, openDialog } from "./dialog.js";
import { announce, h, icon, iconButton, withCommand } from "./dom.js";

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

/** Shows the view that the address names; `again` where it is shown already. */
async function show(again = false) {
  if (!location.hash) history.replaceState(null, "", "#chat");
  const name = location.hash.slice(1).split("/")[0];
  if (!(name in VIEWS)) {
    if (shown === null) location.replace("#chat");
    return;
  }
  if (name === shown && !again) return;
  const first = shown === null;
  shown = name;
  leave();
  leave = () => {};
  const { title, load } = VIEWS[name];
  document.title = `${title} · gptoss-api`;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
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

async function askForKey(reason) {
  const field = h("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const remember = h("input", { type: "checkbox" });
  const forget = () => {
    api.forgetKey();
    field.closest("dialog").close();
    announce("The key is forgotten");
  };
  const key = await openDialog({
    title: "API key",
    content: [
      h("p", {}, reason),
      labelled("Key", field),
      h("label", { class: "check" }, remember, h("span", {}, "Remember it in this browser")),
      h("p", { class: "hint" }, "Otherwise it is forgotten when this tab closes. It is sent to this gateway only, never in an address."),
    ],
    confirm: "Use this key",
    extra: api.hasKey && h("button", { type: "button", class: "button", on: { click: forget } }, "Forget the key"),
    submit: () => field.value.trim() || null,
  });
  if (key) api.useKey(key, remember.checked);
  return key !== null;
}

// -- what is said above every view ---------------------------------------------------------------------------

const notices = document.getElementById("notices");
let told = "";
const narrow = matchMedia("(max-width: 40rem)");
// Whether the reader has folded it; null where nothing was chosen.
let folded = recallFolded();

/** Says loudly where no model answers, and that the gateway cannot be reached or is not ready. */
async function tellStatus() {
  let notice = null;
  let demo = false;
  try {
    const { upstream, ready } = await api.json("/", { ask: false });
    demo = Boolean(upstream?.demo);
    if (demo) notice = { short: "Demo: no model is behind these answers.", detail: withCommand(upstream.detail.replace(/^No model is behind the demo\. /, "")) };
    else if (!ready && upstream) notice = { bad: true, short: "Not ready.", detail: withCommand(upstream.detail) };
    else if (!ready) notice = { bad: true, short: "The gateway is not ready." };
  } catch (error) {
    notice = { bad: true, short: error.message };
  }
  if (demo) document.documentElement.dataset.demo = "";
  else delete document.documentElement.dataset.demo;
  const shown = notice && noticeOf(notice);
  // What is the same is not read out again.
  if ((shown?.textContent ?? "") !== told) notices.replaceChildren(...(shown ? [shown] : []));
  told = shown?.textContent ?? "";
  dispatchEvent(new Event("gptoss:status"));
}

/** The few words that always stand there, and what may be folded away for as long as the tab lives: never an error. */
function noticeOf({ bad, short, detail }) {
  const more = detail && h("span", { class: "detail", id: "notice-detail" }, detail);
  const told = h("p", {}, h("strong", {}, short), more && [" ", more]);
  if (bad || !more) return h("div", { class: "notice bad" }, told);
  const fold = iconButton("chevron", "", () => {
    folded = !more.hidden;
    keepFolded();
    paint();
  }, { class: "icon-button small fold", "aria-controls": more.id });
  const paint = () => {
    more.hidden = folded ?? narrow.matches;
    const label = more.hidden ? "How to connect a model" : "Fold";
    fold.title = label;
    fold.setAttribute("aria-label", label);
    fold.setAttribute("aria-expanded", String(!more.hidden));
  };
  paint();
  return h("div", { class: "notice" }, told, fold);
}

function keepFolded() {
  try {
    sessionStorage.setItem("gptoss.folded", String(folded));
  } catch {
    // It lasts until the page is left.
  }
}

function recallFolded() {
  try {
    return JSON.parse(sessionStorage.getItem("gptoss.folded"));
  } catch {
    return null;
  }
}

document.getElementById("tools").append(
  iconButton("key", "API key", async () => {
    if (await api.askForKey("The key that this page sends to the gateway.")) show(true);
  }),
  themeButton(),
);

document.getElementById("skip").addEventListener("click", (event) => {
  // The address says which view is shown.
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => show());
addEventListener("gptoss:key", tellStatus);
addEventListener("gptoss:answered", ({ detail }) => {
  if (detail.error || (detail.upstream === "demo") !== ("demo" in document.documentElement.dataset)) tellStatus();
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && tellStatus());
show();
tellStatus();
