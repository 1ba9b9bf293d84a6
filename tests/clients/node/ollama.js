// Ollama's own JavaScript package.
import assert from "node:assert/strict";

import { Ollama } from "ollama";
import { z } from "zod";

import { test } from "./registry.js";
import * as travel from "./travel.js";

const client = new Ollama({ host: process.env.GATEWAY_URL });
const hello = { model: "gpt-oss:120b", messages: [{ role: "user", content: "hello" }] };

const tool = (name, description, parameters) => ({
  type: "function",
  function: { name, description, parameters: z.toJSONSchema(parameters, { io: "input" }) },
});
const tools = [
  tool("find_capital", "Finds the capital of a country.", travel.Country),
  tool("get_forecast", "Tells the weather of a day in a city, as JSON.", travel.Place),
];
const run = { find_capital: travel.findCapital, get_forecast: travel.getForecast };

test("models", async () => {
  const { models } = await client.list();
  assert.deepEqual(models.map((model) => model.name), ["gpt-oss:120b", "gpt-oss:20b"]);
  const shown = await client.show({ model: "gpt-oss:20b" });
  assert.ok(shown.capabilities.includes("tools"));
  assert.match((await client.version()).version, /^[0-9.]+$/);
});

test("chat", async () => {
  const answer = await client.chat(hello);
  assert.equal(answer.message.content, "You said: hello");
  assert.ok(answer.message.thinking);
  assert.ok(answer.eval_count > 0 && answer.prompt_eval_count > 0);
});

test("stream", async () => {
  let content = "";
  let last;
  for await (const part of await client.chat({ ...hello, stream: true, think: "high" })) {
    content += part.message.content;
    last = part;
  }
  assert.equal(content, "You said: hello");
  assert.equal(last.done_reason, "stop");
});

test("tools in a stream", async () => {
  const messages = [
    { role: "system", content: travel.INSTRUCTIONS },
    { role: "user", content: travel.QUESTION },
  ];
  for (let round = 0; round < 5; round++) {
    const message = { role: "assistant", content: "", thinking: "", tool_calls: [] };
    for await (const part of await client.chat({ ...hello, messages, tools, stream: true })) {
      message.content += part.message.content;
      message.thinking += part.message.thinking ?? "";
      message.tool_calls.push(...(part.message.tool_calls ?? []));
    }
    messages.push(message);
    if (message.tool_calls.length === 0) break;
    for (const { function: call } of message.tool_calls)
      messages.push({ role: "tool", tool_name: call.name, content: run[call.name](call.arguments) });
  }
  assert.equal(messages.at(-1).content, travel.ADVICE);
});

test("format", async () => {
  const format = z.toJSONSchema(travel.Packing);
  const answer = await client.chat({ ...hello, format });
  assert.deepEqual(JSON.parse(answer.message.content), travel.PACKING);
});

test("ResponseError", async () => {
  await assert.rejects(client.chat({ ...hello, model: "llama3" }), (error) => {
    assert.equal(error.status_code, 404);
    assert.match(error.message, /model 'llama3' not found/);
    return true;
  });
});

test("error in the middle of a stream", async () => {
  await assert.rejects(async () => {
    for await (const part of await client.chat({ ...hello, stream: true })) assert.ok(part.message);
  }, /could not answer/);
});

test("leaving a stream", async () => {
  const stream = await client.chat({ ...hello, stream: true });
  for await (const part of stream) {
    if (part.message.content) break;
  }
  stream.abort();
});
