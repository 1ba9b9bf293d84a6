// The status view: whether the gateway can answer and who does, and what to paste into which client.

import { meter } from "./charts.js";
import { clients } from "./clients.js";
import { announce, command, copyButton, h, icon, withCommand } from "./dom.js";
import { count, span } from "./figures.js";
import { limitList } from "./limits.js";
import { measured, scoreCards } from "./verified.js";
import { failure, page, refreshing } from "./view.js";

const EVERY = 10_000;
const STATES = { "in use": "good", "on trial": "warn", resting: "bad" };

let client = "curl";

/**
 * Shows the view in `element`, an empty <section>; called each time that the view is opened. The function that
 * is returned is called when it is left: it ends timers and requests.
 */
export function mount(element, api) {
  const view = new StatusView(element, api);
  view.load();
  return () => view.leave();
}

class StatusView {
  #api;
  #asked = new AbortController();
  #timer;
  #told = "";
  #wantsKey = null;

  constructor(element, api) {
    this.#api = api;
    this.ready = h("div", { class: "row" });
    this.paste = h("div", { class: "stack" });
    this.body = h("div", { class: "stack", "aria-busy": "true" });
    element.append(page("Status", this.ready, () => this.load({ say: true }), null, this.paste, this.body));
    this.#timer = refreshing(this.body, EVERY, () => this.load({ quiet: true }));
  }

  leave() {
    clearInterval(this.#timer);
    this.#asked.abort();
  }

  async load({ quiet = false, say = false } = {}) {
    this.#asked.abort();
    const asked = (this.#asked = new AbortController());
    this.body.setAttribute("aria-busy", "true");
    try {
      const status = await this.#api.json("v1/status", { signal: asked.signal, ask: !quiet });
      const told = JSON.stringify(status);
      if (told !== this.#told) this.#show(status);
      this.#told = told;
      if (say) announce(this.ready.textContent);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#fail(error);
    } finally {
      if (asked === this.#asked) this.body.setAttribute("aria-busy", "false");
    }
  }

  #fail(error) {
    this.#told = "";
    this.ready.replaceChildren(h("span", { class: "badge bad" }, error.code === "unreachable" ? "Not reachable" : "Unknown"));
    this.body.replaceChildren(failure("The status cannot be shown", error, () => this.load()));
  }

  #show(status) {
    this.ready.replaceChildren(...standing(status));
    if (this.#wantsKey !== status.keys_required) {
      this.#wantsKey = status.keys_required;
      this.paste.replaceChildren(pasting(this.#api, status));
    }
    const { details, key } = status;
    const limits = Object.keys(key.limits).length > 0;
    this.body.replaceChildren(
      ...[
        details?.settings?.problem && notice("The configuration file cannot be used, and the settings stay as they were", details.settings.problem),
        details?.settings?.needs_restart.length > 0 && notice("Changed settings wait for a restart", details.settings.needs_restart.join(", ")),
        details && h("div", { class: "cards" }, details.upstreams.map((found) => upstream(found, details.verified))),
        details?.verified.length > 0 && scoreCards(details.verified),
        h("div", { class: "cards" }, details ? [running(status), storing(details)] : [own(status)], limits && h("section", { class: "card", "aria-labelledby": "limits" }, h("h2", { id: "limits" }, "Limits of this key"), limitList(key.limits))),
      ].filter(Boolean),
    );
  }
}

// -- parts -------------------------------------------------------------------------------------------------

function standing({ ready, draining, demo: isDemo }) {
  if (draining) return [h("span", { class: "badge warn" }, "Shutting down")];
  const told = ready ? h("span", { class: "badge good" }, "Ready") : h("span", { class: "badge bad" }, "Not ready");
  return isDemo ? [told, h("span", { class: "badge warn" }, "Demo")] : [told];
}

function notice(title, text) {
  return h("div", { class: "card", role: "alert" }, h("div", { class: "row" }, h("span", { class: "badge bad" }, icon("warning"), "Attention"), h("h2", {}, title)), h("p", {}, text));
}

/** The addresses and the snippets, which stay as they are while the rest is renewed. */
function pasting(api, { keys_required: wantsKey }) {
  const root = api.url("").replace(/\/+$/, "");
  const key = wantsKey ? "YOUR_KEY" : "none";
  const all = clients(root, key);
  const panel = h("div", { class: "client", id: "client", "aria-live": "off" });
  const buttons = all.map(({ name }) => h("button", { type: "button", "aria-pressed": "false", "aria-controls": "client", on: { click: () => choose(name) } }, name));
  const choose = (name) => {
    client = name;
    const found = all.find((each) => each.name === name);
    buttons.forEach((button, nth) => button.setAttribute("aria-pressed", String(all[nth] === found)));
    const parts = [found.steps && h("p", {}, found.steps), ...found.texts.map(([where, text]) => snippet(where, text, found.name)), found.setup && byItself(found.setup)];
    panel.replaceChildren(...parts.filter(Boolean));
  };
  choose(client);
  return h(
    "section",
    { class: "card", "aria-labelledby": "connect" },
    h("h2", { id: "connect" }, "Connect a client"),
    h(
      "ul",
      { class: "addresses" },
      address("OpenAI's API", `${root}/v1`),
      address("Anthropic's, Ollama's", root),
    ),
    h(
      "p",
      { class: "hint" },
      wantsKey
        ? ["Put one of the gateway's keys where YOUR_KEY stands. Whoever runs the gateway makes them: ", command("gptoss-api keys create NAME")]
        : "No key is needed here; clients that insist on one take any text.",
    ),
    h("div", { class: "clients", role: "group", "aria-label": "Clients" }, buttons),
    panel,
  );
}

function byItself(name) {
  return h("p", { class: "hint" }, "Where the gateway's program is, ", command(`gptoss-api setup ${name}`), " writes this for you, keeps a backup, and takes it back with ", h("code", {}, "--undo"), ".");
}

function address(name, url) {
  return h("li", {}, h("span", { class: "hint" }, name), h("code", {}, url), copyButton(() => url, `Copy the address for ${name}`));
}

function snippet(where, text, name = "") {
  return h(
    "div",
    {},
    h("p", { class: "hint snippet-title" }, where),
    h("div", { class: "snippet" }, h("pre", { tabindex: "0", role: "region", "aria-label": [name, where].filter(Boolean).join(": ") }, text), copyButton(() => text, `Copy: ${where}`)),
  );
}

function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

const LOGINS = { kept: "kept", missing: "missing: gptoss-api login" };

function upstream(found, verified) {
  const id = `upstream-${found.name}`;
  return h(
    "section",
    { class: "card", "aria-labelledby": id },
    h(
      "div",
      { class: "upstream-head" },
      h("h2", { id }, found.name),
      h("span", { class: `badge ${found.ready ? "good" : "bad"}` }, found.ready ? "ready" : "not ready"),
      found.state !== "in use" && h("span", { class: `badge ${STATES[found.state]}` }, found.state),
    ),
    found.detail && h("p", { class: "upstream-detail" }, withCommand(found.detail.replace(/^No model is behind the demo\. /, ""))),
    facts([
      ["Kind", found.kind === found.name ? "" : found.kind],
      ["Address", found.address ? h("code", {}, found.address) : ""],
      ["Login", found.login ? withCommand(LOGINS[found.login] ?? found.login) : ""],
      ["Models", found.models.join(", ")],
      ["Measured", verified.filter((card) => card.upstream === found.name).map(measured).join("; ")],
    ]),
    found.slots > 0 &&
      h(
        "ul",
        { class: "bars" },
        h("li", {}, h("span", {}, "Places taken"), h("span", { class: "number" }, `${count(found.running)} of ${count(found.slots)}`), meter(found.running, found.slots)),
        found.most_waiting > 0 && h("li", {}, h("span", {}, "Waiting"), h("span", { class: "number" }, `${count(found.waiting)} of ${count(found.most_waiting)}`), meter(found.waiting, found.most_waiting, "warn")),
      ),
  );
}

function running({ version, details }) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "running" },
    h("h2", { id: "running" }, "This gateway"),
    facts([
      ["Version", version],
      ["Running for", details.uptime_seconds < 60 ? "less than a minute" : span(Math.floor(details.uptime_seconds / 60) * 60)],
      ["Workers", count(details.workers)],
      ["Being answered", count(details.in_flight)],
      ["Upstream chosen", details.chosen_because],
      ["Keys", details.keys.created + details.keys.configured ? `${count(details.keys.created)} created, ${count(details.keys.configured)} configured` : "none needed"],
    ]),
  );
}

function storing({ store }) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "store" },
    h(
      "div",
      { class: "upstream-head" },
      h("h2", { id: "store" }, "Store"),
      h("span", { class: `badge ${store.available ? "good" : "bad"}` }, store.available ? "available" : "away"),
    ),
    facts([
      ["Where", store.where],
      ["Keeps", h("ul", {}, store.what.split("; ").map((kept) => h("li", {}, kept)))],
      ["Failures", count(store.failures)],
      ["Usage lost", store.usage_lost ? `${count(store.usage_lost)} turns` : ""],
    ]),
  );
}

function own({ version, models, key }) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "own" },
    h("h2", { id: "own" }, "Your key"),
    facts([
      ["Name", key.name ?? ""],
      ["Models", models.join(", ")],
      ["Version", version],
    ]),
    h("p", { class: "hint" }, "Upstreams, queues and the store are shown to administrators."),
  );
}
