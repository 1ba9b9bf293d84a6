// One answer: what is sent for it, and what comes back piece by piece.

import { ApiError } from "./api.js";

/** What is sent to /v1/chat/completions for the next answer of `conversation`. Throws a SyntaxError for its tools. */
export function requestBody({ model, effort, system, tools, messages }) {
  const body = { model, reasoning_effort: effort, stream: true, stream_options: { include_usage: true } };
  const offered = readTools(tools);
  if (offered.length) body.tools = offered;
  body.messages = messages.map(asSent).filter(Boolean);
  if (system.trim()) body.messages.unshift({ role: "system", content: system });
  return body;
}

/** The tools that a person wrote: a list, one tool, or functions without what is around them. */
export function readTools(text) {
  if (!text.trim()) return [];
  const told = JSON.parse(text);
  return (Array.isArray(told) ? told : [told]).map((tool) => {
    if (typeof tool !== "object" || tool === null) throw new SyntaxError("A tool is an object in JSON.");
    const whole = tool.type ? tool : { type: "function", function: tool };
    if (whole.type === "function" && typeof whole.function?.name !== "string") throw new SyntaxError("A function has a name.");
    return whole;
  });
}

function asSent(message) {
  if (message.role === "tool") return { role: "tool", tool_call_id: message.id, content: message.content };
  if (message.role !== "assistant") return { role: message.role, content: message.content };
  if (!message.calls.length) return message.content ? { role: "assistant", content: message.content } : null;
  const sent = {
    role: "assistant",
    content: message.content || null,
    tool_calls: message.calls.map(({ id, type, name, arguments: text }) =>
      type === "custom" ? { id, type, custom: { name, input: text } } : { id, type: "function", function: { name, arguments: text } },
    ),
  };
  // The model goes on from what it thought when it called.
  if (message.reasoning) sent.reasoning_content = message.reasoning;
  return sent;
}

/** An answer of which nothing has come yet. */
export function emptyAnswer(model, effort) {
  return { role: "assistant", content: "", reasoning: "", calls: [], model, effort, running: true };
}

/**
 * Fills `answer` with what the gateway answers to `body`, and calls `changed()` after each piece.
 *
 * However it ends, `answer` says so: with `finish`, `stopped` or `error`; that it is not `running` is the caller's to say.
 */
export async function run(api, body, answer, signal, changed) {
  const started = performance.now();
  const since = () => Math.round(performance.now() - started);
  try {
    const response = await api.fetch("/v1/chat/completions", { method: "POST", body, signal });
    readHeaders(response.headers, answer);
    changed();
    for await (const event of events(response.body)) {
      if (event.error) throw new ApiError(event.error.message, event.error);
      read(event, answer, since);
      changed();
    }
    if (!answer.finish) throw new ApiError("The connection ended before the answer was complete.", { code: "incomplete" });
  } catch (error) {
    if (signal.aborted) answer.stopped = true;
    else answer.error = told(error);
  }
  answer.totalMs = since();
}

function told(error) {
  const known = error instanceof ApiError;
  return {
    message: known ? error.message : "The connection broke before the answer was complete.",
    code: known ? (error.code ?? error.type) : "broken",
    status: known ? error.status : 0,
    requestId: known ? error.requestId : null,
    retryAt: known && error.retryAfter ? Date.now() + error.retryAfter * 1000 : null,
  };
}

function readHeaders(headers, answer) {
  const listed = (name) => (headers.get(name) ?? "").split(",").map((part) => part.trim()).filter(Boolean);
  answer.upstream = headers.get("x-gptoss-upstream") ?? "";
  answer.model = headers.get("x-gptoss-model") ?? answer.model;
  answer.thread = headers.get("x-gptoss-thread") ?? "";
  answer.repeat = headers.get("x-gptoss-repeat") ?? "";
  answer.context = headers.get("x-gptoss-context") ?? "";
  answer.emulated = listed("x-gptoss-emulated");
  answer.ignored = listed("x-gptoss-ignored");
  answer.repairs = Number(headers.get("x-gptoss-repairs") ?? 0);
  answer.requestId = headers.get("x-request-id");
}

function read(event, answer, since) {
  // What is known only at the end is not in the headers.
  const noted = event.x_gptoss;
  if (noted) {
    answer.emulated = noted.emulated ?? answer.emulated;
    answer.ignored = noted.ignored ?? answer.ignored;
    answer.repairs = Math.max(noted.repairs ?? 0, answer.repairs);
    answer.notes = noted.notes ?? answer.notes;
  }
  if (event.usage) answer.usage = event.usage;
  const choice = event.choices?.[0];
  if (!choice) return;
  const delta = choice.delta ?? {};
  const thought = delta.reasoning_content ?? delta.reasoning ?? "";
  const said = (delta.content ?? "") + (delta.refusal ?? "");
  if (thought || said || delta.tool_calls) answer.firstMs ??= since();
  if (thought) answer.reasoning += thought;
  if (said || delta.tool_calls) answer.thoughtMs ??= since();
  answer.content += said;
  for (const part of delta.tool_calls ?? []) {
    answer.calls[part.index] ??= { id: "", type: part.type ?? "function", name: "", arguments: "" };
    const call = answer.calls[part.index];
    call.id ||= part.id ?? "";
    call.name ||= part.function?.name ?? part.custom?.name ?? "";
    call.arguments += part.function?.arguments ?? part.custom?.input ?? "";
  }
  if (choice.finish_reason) answer.finish = choice.finish_reason;
}

/** The events of a stream, read from its bytes. Source: WHATWG HTML, "Server-sent events". */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}
