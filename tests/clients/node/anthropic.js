// The official SDK of Anthropic's API.
import assert from "node:assert/strict";

import { createAnthropic } from "@ai-sdk/anthropic";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { isStepCount, streamText, tool } from "ai";

import { test } from "./registry.js";
import * as travel from "./travel.js";

const client = new Anthropic({ baseURL: process.env.GATEWAY_URL, apiKey: "none", maxRetries: 0 });
const hello = {
  model: "gpt-oss-120b",
  max_tokens: 1000,
  messages: [{ role: "user", content: "hello" }],
};

test("message", async () => {
  const message = await client.messages.create(hello);
  assert.deepEqual(message.content.map((block) => block.text), ["You said: hello"]);
  assert.equal(message.stop_reason, "end_turn");
  assert.ok(message._request_id);
});

test("stream helper", async () => {
  const stream = client.messages.stream({ ...hello, thinking: { type: "adaptive" } });
  const final = await stream.finalMessage();
  assert.deepEqual(final.content.map((block) => block.type), ["thinking", "text"]);
  const counted = await client.messages.countTokens({ model: hello.model, messages: hello.messages });
  assert.equal(final.usage.input_tokens, counted.input_tokens);
});

test("tool runner", async () => {
  const tools = [
    betaZodTool({
      name: "find_capital",
      description: "Finds the capital of a country.",
      inputSchema: travel.Country,
      run: travel.findCapital,
    }),
    betaZodTool({
      name: "get_forecast",
      description: "Tells the weather of a day in a city, as JSON.",
      inputSchema: travel.Place,
      run: travel.getForecast,
    }),
  ];
  const runner = client.beta.messages.toolRunner({ ...hello, tools });
  const final = await runner.runUntilDone();
  assert.equal(final.content.at(-1).text, travel.ADVICE);
});

test("NotFoundError", async () => {
  await assert.rejects(client.messages.create({ ...hello, model: "gpt-9" }), Anthropic.NotFoundError);
});

test("RateLimitError", async () => {
  await assert.rejects(client.messages.create(hello), Anthropic.RateLimitError);
});

test("the AI SDK with tools in a stream", async () => {
  const provider = createAnthropic({ baseURL: travel.GATEWAY, apiKey: "none" });
  const result = streamText({
    model: provider("gpt-oss-120b"),
    system: travel.INSTRUCTIONS,
    prompt: travel.QUESTION,
    stopWhen: isStepCount(5),
    tools: {
      find_capital: tool({ inputSchema: travel.Country, execute: travel.findCapital }),
      get_forecast: tool({ inputSchema: travel.Place, execute: travel.getForecast }),
    },
  });
  assert.equal(await result.text, travel.ADVICE);
});
