// The messages of a conversation as they are shown.

import { copyButton, h, icon, iconButton } from "./dom.js";
import { counted, duration, number } from "./format.js";
import { Markdown } from "./markdown.js";

/** What is told of an answer that the demo gave: people must not take it for a model's. */
const DEMO = "demo";

/** The answers whose thoughts somebody opened; they stay open when the answer is shown anew. */
const opened = new WeakSet();

/** A message of the person; `edit` is there for the last one. */
export function userMessage(message, edit) {
  return h(
    "article",
    { class: "message user", "aria-label": "You" },
    h("div", { class: "bubble" }, message.content),
    h("div", { class: "actions" }, copyButton(() => message.content, "Copy the message"), edit && iconButton("edit", "Edit the message", edit, { class: "icon-button small" })),
  );
}

/** A result that was handed back to the model. */
export function toolMessage(message) {
  return h(
    "article",
    { class: "message tool", "aria-label": `Result of ${message.name}` },
    h("details", { class: "result" }, h("summary", {}, icon("chevron"), h("span", {}, "Result of ", h("code", {}, message.name))), h("pre", { tabindex: "0", role: "group", "aria-label": "Result" }, message.content || "(empty)")),
  );
}

/** An answer that may still grow: `update()` shows what came since. */
export class AnswerView {
  #answer;
  #actions;
  #written;
  #thoughtShown = 0;
  #scheduled = 0;
  #cost = 0;
  #countdown = 0;
  #shown;

  /** `actions`: {retry, results, announce}; `results(list)` hands back what calls gave, where they wait for it. */
  constructor(answer, actions, shown = () => {}) {
    // What was said before is not said again.
    const live = Boolean(answer.running);
    this.#answer = answer;
    this.#actions = actions;
    this.#shown = shown;
    this.who = h("header", { class: "who" });
    this.thoughts = h("div", { class: "thoughts" });
    this.summary = h("summary");
    this.thinking = h("details", { class: "thinking", hidden: true }, this.summary, this.thoughts);
    this.thinking.open = opened.has(answer);
    this.thinking.addEventListener("toggle", () => {
      if (this.thinking.open) opened.add(answer);
      else opened.delete(answer);
      this.#showThoughts();
    });
    this.body = h("div", { class: "md" });
    this.calls = h("div", { class: "calls" });
    this.foot = h("footer", { class: "foot" });
    this.element = h("article", { class: "message assistant", "aria-label": "Answer" }, this.who, this.thinking, this.body, this.calls, this.foot);
    this.#written = new Markdown(this.body, (text) => live && actions.announce(text));
    this.#show();
  }

  /** Soon shows what changed; at once where the answer is over. */
  update() {
    if (!this.#answer.running) {
      clearTimeout(this.#scheduled);
      this.#scheduled = 0;
      this.#show();
    } else if (!this.#scheduled) {
      // A long answer is shown less often, so that showing it never takes most of the time.
      this.#scheduled = setTimeout(() => {
        this.#scheduled = 0;
        this.#show();
      }, Math.max(30, this.#cost * 4));
    }
  }

  /** Ends what still runs for it. */
  close() {
    clearTimeout(this.#scheduled);
    clearInterval(this.#countdown);
  }

  #show() {
    const began = performance.now();
    const answer = this.#answer;
    this.element.setAttribute("aria-busy", answer.running ? "true" : "false");
    this.#showWho();
    this.#showThinking();
    this.#written.update(answer.content, !answer.running);
    this.element.classList.toggle("writing", Boolean(answer.running && answer.content && !answer.calls.length));
    this.#showCalls();
    if (!answer.running) this.#showFoot();
    this.#cost = performance.now() - began;
    this.#shown();
  }

  #showWho() {
    const { model, upstream, repairs = 0, emulated = [] } = this.#answer;
    this.who.replaceChildren(
      h("span", { class: "name" }, model),
      ...[
        upstream === DEMO && h("span", { class: "badge warn strong" }, icon("warning"), "Demo"),
        emulated.length > 0 && h("span", { class: "badge", title: "What the gateway did because the upstream cannot" }, `Emulated: ${emulated.map(words).join(", ")}`),
        repairs > 0 && h("span", { class: "badge accent", title: "How often the gateway asked again or mended arguments" }, `Repaired${repairs > 1 ? ` ${repairs} times` : ""}`),
      ].filter(Boolean),
    );
  }

  #showThinking() {
    const { reasoning, running, content, calls, thoughtMs, firstMs, totalMs } = this.#answer;
    const waiting = running && !content && !calls.length;
    this.thinking.hidden = !reasoning && !waiting;
    this.thinking.classList.toggle("waiting", Boolean(waiting));
    this.thinking.classList.toggle("empty", !reasoning);
    const took = (thoughtMs ?? totalMs ?? 0) - (firstMs ?? 0);
    const text = waiting ? (reasoning ? "Thinking…" : "Waiting for the model…") : took > 0 ? `Thought for ${duration(took)}` : "Thoughts";
    if (this.summary.textContent !== text) this.summary.replaceChildren(icon("chevron"), h("span", {}, text));
    this.#showThoughts();
  }

  #showThoughts() {
    const { reasoning } = this.#answer;
    if (!this.thinking.open || reasoning.length === this.#thoughtShown) return;
    this.thoughts.append(reasoning.slice(this.#thoughtShown));
    this.#thoughtShown = reasoning.length;
  }

  // -- calls ---------------------------------------------------------------------------------------------

  #showCalls() {
    const { calls, running } = this.#answer;
    const waits = !running && !this.#answer.error && !this.#answer.stopped && this.#actions.results;
    const fields = [];
    const cards = calls.filter(Boolean).map((call) => {
      const field = waits && h("textarea", { rows: "2", "aria-label": `Result of ${call.name}`, placeholder: "What it gives, as text or JSON", spellcheck: "false" });
      if (field) fields.push([call, field]);
      return h(
        "section",
        { class: "call", "aria-label": `Call of ${call.name}` },
        h("header", {}, icon("tool"), h("code", {}, call.name || "…"), h("span", { class: "badge accent" }, running ? "Calling" : waits ? "Waits for you" : "Called")),
        h("pre", { tabindex: "0", role: "group", "aria-label": "Arguments" }, running ? call.arguments : pretty(call.arguments)),
        field,
      );
    });
    if (fields.length) {
      const send = () => this.#actions.results(fields.map(([call, field]) => ({ role: "tool", id: call.id, name: call.name, content: field.value })));
      for (const [, field] of fields) {
        field.addEventListener("keydown", (event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            const next = fields.find(([, other]) => other !== field && !other.value);
            if (next) next[1].focus();
            else send();
          }
        });
      }
      cards.push(
        h(
          "div",
          { class: "row" },
          h("button", { type: "button", class: "button primary", on: { click: send } }, fields.length === 1 ? "Hand back the result" : "Hand back the results"),
          h("span", { class: "hint" }, "This page runs no tools: you say what they give."),
        ),
      );
    }
    this.calls.replaceChildren(...cards);
  }

  // -- how it ended --------------------------------------------------------------------------------------

  #showFoot() {
    const answer = this.#answer;
    const { retry } = this.#actions;
    clearInterval(this.#countdown);
    this.foot.replaceChildren(
      ...[
        answer.error && this.#problem(answer.error),
        answer.stopped && h("p", { class: "ended" }, "You stopped this answer."),
        !answer.error && !answer.stopped && !answer.finish && h("p", { class: "ended" }, "The page was closed before this answer was complete."),
        answer.finish === "length" && h("p", { class: "ended" }, "Cut off: the answer reached its limit of tokens."),
        answer.finish === "content_filter" && h("p", { class: "ended" }, "Withheld by the upstream's filter."),
        h(
          "div",
          { class: "actions" },
          answer.content && copyButton(() => answer.content, "Copy the answer"),
          retry && !answer.error && iconButton("retry", "Ask again", retry, { class: "icon-button small" }),
          this.#about(),
        ),
      ].filter(Boolean),
    );
  }

  #problem({ message, code, status, requestId, retryAt }) {
    const button = this.#actions.retry && h("button", { type: "button", class: "button", on: { click: this.#actions.retry } }, icon("retry"), "Try again");
    const wait = h("span", { class: "hint" });
    const tick = () => {
      const left = Math.ceil((retryAt - Date.now()) / 1000);
      if (button) button.disabled = left > 0;
      wait.textContent = left > 0 ? `The gateway asks to wait ${left > 90 ? `${Math.ceil(left / 60)} min` : `${left} s`}.` : "";
      if (left <= 0) clearInterval(this.#countdown);
    };
    if (retryAt && retryAt > Date.now()) {
      this.#countdown = setInterval(tick, 1000);
      tick();
    }
    return h(
      "div",
      { class: "problem", role: "alert" },
      icon("warning"),
      h("div", {}, h("p", {}, message), h("p", { class: "hint" }, [status || null, code, requestId].filter(Boolean).join(" · ")), (button || retryAt) && h("div", { class: "row" }, button, wait)),
    );
  }

  #about() {
    const { usage, totalMs, firstMs, upstream, emulated = [], ignored = [], repairs, notes = [], thread, repeat, context, effort, requestId } = this.#answer;
    const short = [usage && counted(usage.completion_tokens, "token"), totalMs !== undefined && duration(totalMs), ignored.length > 0 && `${ignored.length} ignored`].filter(Boolean);
    if (!short.length) return null;
    const details = usage?.completion_tokens_details?.reasoning_tokens;
    const cached = usage?.prompt_tokens_details?.cached_tokens;
    const rows = [
      ["Upstream", upstream],
      ["Effort", effort],
      ["Tokens in", usage && `${number(usage.prompt_tokens)}${cached ? `, ${number(cached)} of them cached` : ""}`],
      ["Tokens out", usage && `${number(usage.completion_tokens)}${details ? `, ${number(details)} of them thoughts` : ""}`],
      ["First token", firstMs !== undefined && duration(firstMs)],
      ["Whole answer", totalMs !== undefined && duration(totalMs)],
      ["Emulated", emulated.map(words).join(", ")],
      ["Without effect", ignored.join(", ")],
      ["Repairs", repairs > 0 && String(repairs)],
      ["Left out", context],
      ["Thread", thread],
      ["Repeat", repeat],
      ["Request", requestId],
      ["Notes", notes.join(" ")],
    ].filter(([, value]) => value);
    return h(
      "details",
      { class: "about", on: { toggle: ({ target }) => target.open && target.scrollIntoView({ block: "nearest" }) } },
      h("summary", { title: "About this answer" }, short.join(" · ")),
      h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    );
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function words(name) {
  return name.replaceAll("_", " ");
}
