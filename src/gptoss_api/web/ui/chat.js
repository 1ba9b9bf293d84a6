// The chat view: the conversations of this browser, the one that is open, and what is asked next.

import { announce, h, icon, iconButton } from "./dom.js";
import * as conversations from "./conversations.js";
import { labelled, openDialog } from "./dialog.js";
import { counted } from "./format.js";
import { AnswerView, toolMessage, userMessage } from "./message.js";
import { emptyAnswer, readTools, requestBody, run } from "./turn.js";

const MODELS = ["gpt-oss-120b", "gpt-oss-20b"];
const EFFORTS = [
  ["low", "Low effort"],
  ["medium", "Medium effort"],
  ["high", "High effort"],
];
const EXAMPLE_TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city now.",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
      required: ["city"],
    },
  },
};
const IDEAS = [
  ["Explain", "Explain why the sky is blue, in three sentences."],
  ["Compare", "Compare TCP and UDP in a table with four rows."],
  ["Write code", "Write a Python function that merges overlapping intervals, with a short test."],
];
// What the demo can show: it has no model that could do the others.
const DEMO_IDEAS = [
  ["See an answer", "Hello!", "It repeats what you asked and says how to connect a model."],
  ["See thoughts", "Think before you answer.", "They are folded above the answer."],
];
const PREFERENCES = "gptoss.chat";
const SAVE_EVERY = 1000;

// Answers go on while another view is shown: the id of a conversation, and what ends its answer.
const running = new Map();

/** See usage.js for what a view is given. */
export function mount(element, api) {
  const chat = new Chat(element, api);
  chat.open();
  return () => chat.close();
}

class Chat {
  #api;
  #views = [];
  #cleanup = [];
  #models = MODELS;
  #sticks = true;
  #summaries = [];

  constructor(element, api) {
    this.#api = api;
    this.current = draft();
    this.heading = h("h1");
    this.list = h("ul", { class: "titles" });
    this.kept = h("p", { class: "hint" }, "Kept in this browser only.");
    this.deleteAll = h("button", { type: "button", class: "link", hidden: true, on: { click: () => this.#deleteAll() } }, "Delete all");
    this.side = h(
      "aside",
      { class: "side", id: "side", "aria-label": "Conversations" },
      h("div", { class: "side-top" }, h("button", { type: "button", class: "button new", on: { click: () => this.#go("#chat") } }, icon("plus"), "New chat"), iconButton("close", "Close the list", () => this.#toggleSide(false), { class: "icon-button only-narrow" })),
      h("nav", { "aria-label": "Conversations" }, this.list),
      h("div", { class: "side-end" }, this.kept, this.deleteAll),
    );
    this.menu = iconButton("menu", "Conversations", () => this.#toggleSide(true), { class: "icon-button only-narrow", "aria-expanded": "false", "aria-controls": "side" });
    this.tools = h(
      "div",
      { class: "head-tools" },
      iconButton("edit", "Rename", () => this.#rename()),
      iconButton("download", "Export", () => this.#export()),
      iconButton("trash", "Delete", () => this.#delete()),
    );
    this.messages = h("div", { class: "messages" });
    this.thread = h("div", { class: "thread", tabindex: "0", role: "region", "aria-label": "Messages" }, this.messages);
    this.latest = iconButton("chevron", "To the latest", () => this.#toEnd(true), { class: "icon-button latest", hidden: true });
    this.column = h("div", { class: "column" }, h("header", { class: "head" }, this.menu, this.heading, this.tools), this.thread, this.latest, this.#composer());
    element.append(this.side, this.column);
    this.thread.addEventListener("scroll", () => {
      this.#sticks = this.thread.scrollHeight - this.thread.scrollTop - this.thread.clientHeight < 60;
      this.latest.hidden = this.#sticks;
    });
  }

  // -- opening and closing -------------------------------------------------------------------------------

  async open() {
    const onHash = () => location.hash.startsWith("#chat") && this.#show();
    const onKey = (event) => this.#key(event);
    addEventListener("hashchange", onHash);
    addEventListener("keydown", onKey);
    const onStatus = () => !this.current.messages.length && this.#render();
    addEventListener("gptoss:status", onStatus);
    this.#cleanup = [
      () => removeEventListener("gptoss:status", onStatus),
      () => removeEventListener("hashchange", onHash),
      () => removeEventListener("keydown", onKey),
      conversations.follow(() => this.#showList()),
    ];
    await this.#show();
    this.#loadModels();
    if (!(await conversations.persistent())) this.kept.textContent = "This browser keeps nothing: conversations are lost with the tab.";
  }

  close() {
    for (const end of this.#cleanup) end();
    this.#closeViews();
  }

  async #loadModels() {
    try {
      const { data } = await this.#api.json("/v1/models");
      if (data.length) this.#models = data.map((model) => model.id);
    } catch {
      // Which are there shows when one is asked.
    }
    this.#showChoices();
  }

  #go(hash) {
    this.#toggleSide(false);
    if (location.hash === hash) this.#show();
    else location.hash = hash;
    this.ask.focus();
  }

  async #show() {
    const id = location.hash.split("/")[1];
    this.current = (id && (running.get(id)?.conversation ?? interrupted(await conversations.load(id)))) || draft();
    this.#remember();
    this.#render();
    this.#showChoices();
    await this.#showList();
    if (matchMedia("(pointer: fine)").matches) this.ask.focus();
  }

  /** Where the tab of this view leads back to. */
  #remember() {
    const tab = document.querySelector('.views [data-view="chat"]');
    tab.href = this.current.messages.length ? `#chat/${this.current.id}` : "#chat";
  }

  // -- the list ------------------------------------------------------------------------------------------

  async #showList() {
    this.#summaries = await conversations.list();
    this.list.replaceChildren(
      ...this.#summaries.map(({ id, title }) =>
        h("li", {}, h("a", { href: `#chat/${id}`, "aria-current": id === this.current.id ? "true" : null, title, on: { click: () => this.#toggleSide(false) } }, running.has(id) && h("span", { class: "dot", title: "Is being answered" }), title)),
      ),
    );
    this.deleteAll.hidden = !this.#summaries.length;
    if (!this.#summaries.length) this.list.append(h("li", { class: "hint none" }, "No conversations yet."));
  }

  #toggleSide(open) {
    this.side.classList.toggle("open", open);
    this.menu.setAttribute("aria-expanded", String(open));
    this.column.inert = open;
    if (open) this.side.querySelector("button").focus();
    else if (this.side.contains(document.activeElement)) this.menu.focus();
  }

  async #rename() {
    const field = h("input", { type: "text", maxlength: "120" });
    field.value = this.current.title;
    const title = await openDialog({ title: "Rename the conversation", content: labelled("Title", field), confirm: "Rename", submit: () => field.value.trim() });
    if (!title) return;
    this.current.title = title;
    await conversations.save(this.current);
    this.#showHead();
    await this.#showList();
  }

  async #delete() {
    const sure = await openDialog({ title: "Delete this conversation?", content: h("p", {}, `“${this.current.title}” is kept nowhere else.`), confirm: "Delete", danger: true });
    if (!sure) return;
    running.get(this.current.id)?.abort.abort();
    running.delete(this.current.id);
    await conversations.remove(this.current.id);
    this.#go("#chat");
  }

  async #deleteAll() {
    const count = this.#summaries.length;
    if (!count) return;
    const sure = await openDialog({ title: "Delete all conversations?", content: h("p", {}, `${counted(count, "conversation")}, kept nowhere else.`), confirm: "Delete all", danger: true });
    if (!sure) return;
    for (const { abort } of running.values()) abort.abort();
    running.clear();
    await conversations.removeAll();
    this.#go("#chat");
  }

  async #export() {
    const kinds = h("select", {}, h("option", { value: "md" }, "Markdown, to read"), h("option", { value: "json" }, "JSON, with everything"));
    const kind = await openDialog({ title: "Export the conversation", content: labelled("As", kinds), confirm: "Export", submit: () => kinds.value });
    if (!kind) return;
    const text = kind === "json" ? JSON.stringify(this.current, null, 2) : asMarkdown(this.current);
    const address = URL.createObjectURL(new Blob([text], { type: kind === "json" ? "application/json" : "text/markdown" }));
    const name = this.current.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "conversation";
    h("a", { href: address, download: `${name}.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  // -- the conversation ----------------------------------------------------------------------------------

  #closeViews() {
    for (const view of this.#views) view.close();
    this.#views = [];
  }

  #render() {
    this.#closeViews();
    this.#showHead();
    const { messages } = this.current;
    this.messages.replaceChildren(...(messages.length ? messages.map((message, index) => this.#element(message, index)) : [this.#welcome()]));
    this.#sticks = true;
    if (messages.length) this.#toEnd();
    this.#showComposer();
  }

  #showHead() {
    const there = this.current.messages.length > 0;
    this.heading.textContent = there ? this.current.title : "New chat";
    this.tools.hidden = !there;
  }

  #element(message, index) {
    const { messages } = this.current;
    const idle = !running.has(this.current.id);
    if (message.role === "user") {
      const last = index === messages.findLastIndex(({ role }) => role === "user");
      return userMessage(message, last && idle ? () => this.#edit(index) : null);
    }
    if (message.role === "tool") return toolMessage(message);
    const last = index === messages.length - 1;
    const view = new AnswerView(
      message,
      {
        retry: last ? () => this.#retry(index) : null,
        results: last ? (results) => this.#handBack(results) : null,
        announce,
      },
      () => this.#toEnd(),
    );
    this.#views.push(view);
    const answer = running.get(this.current.id);
    if (answer && message === answer.answer) answer.view = view;
    return view.element;
  }

  #welcome() {
    const demo = document.documentElement.dataset.demo !== undefined;
    const idea = ([name, text, shown = text]) => h("button", { type: "button", class: "idea", on: { click: () => this.#suggest(text) } }, h("strong", {}, name), h("span", {}, shown));
    const tool = () => {
      this.current.tools = JSON.stringify([EXAMPLE_TOOL], null, 2);
      this.#showComposer();
      this.#suggest(demo ? "demo: call get_weather" : "What is the weather in Paris?");
    };
    return h(
      "div",
      { class: "welcome" },
      h("h2", {}, demo ? "Try it out" : "What would you like to know?"),
      h("p", {}, demo ? "See how answers, thoughts and calls of tools arrive. Connect a model for the rest." : "gpt-oss thinks before it answers; you choose how hard. What it thought is folded above each answer."),
      h("div", { class: "ideas" }, (demo ? DEMO_IDEAS : IDEAS).map(idea), h("button", { type: "button", class: "idea", on: { click: tool } }, h("strong", {}, "Use a tool"), h("span", {}, demo ? "It calls get_weather, and you answer the call yourself." : "Offer the model get_weather and answer its call yourself."))),
    );
  }

  #suggest(text) {
    this.ask.value = text;
    this.#size();
    this.ask.focus();
  }

  #toEnd(force = false) {
    if (force || this.#sticks) this.thread.scrollTop = this.thread.scrollHeight;
  }

  #edit(index) {
    const message = this.current.messages[index];
    const element = this.messages.children[index];
    const field = h("textarea", { rows: String(Math.min(12, message.content.split("\n").length + 1)), "aria-label": "Edit the message" });
    field.value = message.content;
    const cancel = () => {
      element.replaceWith(this.#element(message, index));
      this.ask.focus();
    };
    const save = () => {
      if (!field.value.trim()) return;
      this.current.messages.length = index;
      this.#send(field.value.trim());
    };
    const form = h(
      "form",
      { class: "editing", on: { submit: (event) => (event.preventDefault(), save()) } },
      field,
      h("div", { class: "row end" }, h("button", { type: "button", class: "button", on: { click: cancel } }, "Cancel"), h("button", { type: "submit", class: "button primary" }, "Send")),
    );
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        cancel();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        save();
      }
    });
    element.replaceChildren(form);
    field.focus();
  }

  // -- asking --------------------------------------------------------------------------------------------

  #composer() {
    this.ask = h("textarea", { id: "ask", rows: "1", placeholder: "Message gpt-oss", "aria-label": "Message", "aria-describedby": "keys" });
    this.ask.addEventListener("input", () => this.#size());
    this.ask.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.model = h("select", { "aria-label": "Model", on: { change: () => this.#choose({ model: this.model.value }) } });
    this.effort = h("select", { "aria-label": "Effort", on: { change: () => this.#choose({ effort: this.effort.value }) } }, EFFORTS.map(([value, label]) => h("option", { value }, label)));
    this.setUp = h("button", { type: "button", class: "button quiet", on: { click: () => this.#settings() } });
    this.sendButton = h("button", { type: "submit", class: "send", "aria-label": "Send", title: "Send" }, icon("send"));
    this.stopButton = h("button", { type: "button", class: "send stop", "aria-label": "Stop", title: "Stop (Esc)", on: { click: () => this.#stop() } }, icon("stop"));
    this.blocked = h("p", { class: "hint blocked", hidden: true }, "The call above waits for its result.");
    return h(
      "form",
      { class: "composer", on: { submit: (event) => (event.preventDefault(), this.#submit()) } },
      h("div", { class: "box" }, this.ask, h("div", { class: "choices" }, this.model, this.effort, this.setUp, h("span", { class: "grow" }), this.sendButton, this.stopButton)),
      this.blocked,
      h("p", { class: "hint", id: "keys" }, h("kbd", {}, "Enter"), " sends, ", h("kbd", {}, "Shift"), "+", h("kbd", {}, "Enter"), " begins a line, ", h("kbd", {}, "Esc"), " stops"),
    );
  }

  #showComposer() {
    const busy = running.has(this.current.id);
    const { system, tools } = this.current;
    const waits = !busy && this.#waits();
    this.sendButton.hidden = busy;
    this.sendButton.disabled = waits;
    this.stopButton.hidden = !busy;
    this.blocked.hidden = !waits;
    let offered = 0;
    try {
      offered = readTools(tools).length;
    } catch {
      // It is told where they are written.
    }
    const set = [system.trim() && "System prompt", offered > 0 && counted(offered, "tool")].filter(Boolean).join(", ");
    this.setUp.replaceChildren(icon("sliders"), h("span", {}, set || "System prompt and tools"));
    this.setUp.classList.toggle("set", Boolean(set));
  }

  /** Whether the last answer called tools and has no results yet. */
  #waits() {
    const last = this.current.messages.at(-1);
    return last?.role === "assistant" && !last.error && !last.stopped && last.calls.some(Boolean);
  }

  #showChoices() {
    const chosen = this.current.model;
    const models = this.#models.includes(chosen) ? this.#models : [...this.#models, chosen];
    this.model.replaceChildren(...models.map((id) => h("option", { value: id, selected: id === chosen }, id)));
    this.model.value = chosen;
    this.effort.value = this.current.effort;
  }

  #choose(choice) {
    Object.assign(this.current, choice);
    const { model, effort } = this.current;
    store(PREFERENCES, { model, effort });
    if (this.current.messages.length) conversations.save(this.current);
  }

  async #settings() {
    const system = h("textarea", { rows: "5", placeholder: "Answer in one sentence." });
    const tools = h("textarea", { rows: "10", class: "mono", spellcheck: "false", placeholder: "[]" });
    system.value = this.current.system;
    tools.value = this.current.tools;
    const example = h("button", { type: "button", class: "link", on: { click: () => (tools.value = JSON.stringify([EXAMPLE_TOOL], null, 2)) } }, "Insert an example");
    const chosen = await openDialog({
      title: "System prompt and tools",
      wide: true,
      content: [
        labelled("System prompt", system, "What the model is told before the conversation."),
        labelled("Tools, as JSON", tools, "As in OpenAI's API, or the functions alone. The page shows what is called and asks you for the result; it runs nothing."),
        h("div", {}, example),
      ],
      confirm: "Use these",
      submit: () => {
        try {
          readTools(tools.value);
        } catch (error) {
          throw new Error(`These tools cannot be read: ${error.message}`);
        }
        return { system: system.value, tools: tools.value };
      },
    });
    if (!chosen) return;
    this.#choose(chosen);
    this.#showComposer();
    this.ask.focus();
  }

  #size() {
    this.ask.rows = Math.min(10, this.ask.value.split("\n").length);
  }

  #submit() {
    const text = this.ask.value.trim();
    if (!text || running.has(this.current.id) || this.#waits()) return;
    this.ask.value = "";
    this.#size();
    this.#send(text);
  }

  #send(text) {
    const { current } = this;
    if (!current.messages.length && !current.title) current.title = titleOf(text);
    current.messages.push({ role: "user", content: text });
    this.#answer();
  }

  #handBack(results) {
    this.current.messages.push(...results);
    this.#answer();
    this.ask.focus();
  }

  #retry(index) {
    if (running.has(this.current.id)) return;
    this.current.messages.length = index;
    this.#answer();
    this.ask.focus();
  }

  #stop() {
    const answer = running.get(this.current.id);
    if (!answer) return;
    answer.abort.abort();
    announce("Stopped");
    this.ask.focus();
  }

  #key(event) {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (this.side.classList.contains("open")) this.#toggleSide(false);
    else this.#stop();
  }

  async #answer() {
    const conversation = this.current;
    const answer = emptyAnswer(conversation.model, conversation.effort);
    const state = { conversation, answer, abort: new AbortController(), view: null };
    let body;
    try {
      body = requestBody(conversation);
    } catch (error) {
      answer.error = { message: `The tools cannot be read: ${error.message}`, code: "tools" };
      delete answer.running;
    }
    conversation.messages.push(answer);
    if (location.hash.slice(1).split("/")[1] !== conversation.id) history.replaceState(null, "", `#chat/${conversation.id}`);
    if (answer.running) running.set(conversation.id, state);
    this.#remember();
    this.#render();
    const keep = keeper(conversation);
    await keep.now();
    this.#showList();
    if (answer.running) {
      announce("Thinking");
      await run(this.#api, body, answer, state.abort.signal, () => {
        state.view?.update();
        keep.soon();
      });
      const deleted = () => running.get(conversation.id) !== state;
      if (deleted()) return;
      // What is shown as complete outlives the page.
      await keep.now();
      if (deleted()) return;
      running.delete(conversation.id);
      delete answer.running;
      state.view?.update();
      ended(answer);
    }
    if (this.current === conversation && this.thread.isConnected) {
      const focused = document.activeElement === document.body;
      this.#renderEnd();
      if (focused) this.ask.focus();
    }
    if (this.thread.isConnected) this.#showList();
    dispatchEvent(new CustomEvent("gptoss:answered", { detail: answer }));
  }

  /** Shows the last messages anew: what may be done with them changed, what was read and opened stays. */
  #renderEnd() {
    const { messages } = this.current;
    const index = messages.findLastIndex(({ role }) => role === "user");
    if (index >= 0) this.messages.children[index].replaceWith(this.#element(messages[index], index));
    this.#views.at(-1)?.update();
    this.#showComposer();
    this.#toEnd();
    this.messages.lastElementChild?.querySelector(".call textarea")?.focus({ preventScroll: true });
  }
}

/** A conversation as it was kept: what was being answered when the page went is not any more. */
function interrupted(conversation) {
  for (const message of conversation?.messages ?? []) delete message.running;
  return conversation;
}

function ended(answer) {
  if (answer.error) return;
  if (answer.calls.length) announce(`The model calls ${answer.calls.map(({ name }) => name).join(" and ")} and waits for the result.`);
  else if (!answer.stopped) announce(`Answer complete${answer.usage ? `, ${counted(answer.usage.completion_tokens, "token")}` : ""}.`);
}

/** Keeps a conversation from time to time while it grows, and at once where that is asked for. */
function keeper(conversation) {
  let timer = 0;
  const now = async () => {
    clearTimeout(timer);
    timer = 0;
    conversation.updated = Date.now();
    await conversations.save(conversation);
  };
  return { now, soon: () => (timer ||= setTimeout(now, SAVE_EVERY)) };
}

function draft() {
  const { model = MODELS[0], effort = "medium" } = recall(PREFERENCES) ?? {};
  return { id: newId(), title: "", created: Date.now(), updated: Date.now(), model, effort, system: "", tools: "", messages: [] };
}

/** `crypto.randomUUID` is there only over HTTPS and on this machine. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function titleOf(text) {
  const line = plain(text.split("\n").find((each) => each.trim() && !/^\s*(```|~~~)/.test(each)) ?? text.split("\n")[0]);
  return line.length > 60 ? `${line.slice(0, 58).trimEnd()}…` : line;
}

/** A line of Markdown as it reads: without the marks of headings, lists, quotations, links, emphasis and code. */
function plain(line) {
  const bare = (text) =>
    text
      .replace(/!?\[([^\]]*)\]\([^)\s]*\)/g, "$1")
      .replace(/(\*\*|~~)(?=\S)(.+?)(?<=\S)\1/g, "$2")
      .replace(/(?<![\w*])\*(?=[^\s*])([^*]+)(?<=\S)\*(?![\w*])/g, "$1")
      .replace(/(?<!\w)_(?=[^\s_])([^_]+)(?<=\S)_(?!\w)/g, "$1");
  const parts = line.replace(/^\s*(?:#{1,6}|>|[-*+])\s+/, "").split(/`+([^`]+)`+/);
  return parts.map((part, nth) => (nth % 2 ? part : bare(part))).join("").trim() || line.trim();
}

function asMarkdown({ title, system, messages }) {
  const names = { user: "You", assistant: "Answer", tool: "Result" };
  const parts = [`# ${title}`];
  if (system.trim()) parts.push("## System prompt", system);
  for (const message of messages) {
    parts.push(`## ${names[message.role]}`);
    if (message.content) parts.push(message.content);
    for (const call of message.calls ?? []) parts.push(`Calls \`${call.name}\`:`, `\`\`\`json\n${call.arguments}\n\`\`\``);
    if (message.error) parts.push(`> ${message.error.message}`);
  }
  return `${parts.join("\n\n")}\n`;
}

function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // It is chosen again next time.
  }
}
