// The official SDK of Anthropic's API.
import assert from "node:assert/strict";

import { createAnthropic } from "@ai-sdk/anthropic";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { generateText, isStepCount, Output, streamText, tool } from "ai";

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

test("tools in a stream", async () => {
  const tools = [{ name: "get_forecast", input_schema: { type: "object", properties: { city: {} } } }];
  const stream = client.messages.stream({ ...hello, tools });
  const written = [];
  stream.on("inputJson", (piece) => written.push(piece));
  const final = await stream.finalMessage();
  assert.equal(final.stop_reason, "tool_use");
  const calls = final.content.filter((block) => block.type === "tool_use");
  assert.deepEqual(calls.map((call) => call.input), [{ city: "Paris" }, { city: "Rome" }, { city: "Oslo" }]);
  assert.equal(written.join(""), calls.map((call) => JSON.stringify(call.input)).join("").replaceAll(":", ": "));
});

test("parse", async () => {
  const output_config = { format: zodOutputFormat(travel.Packing) };
  const parsed = await client.messages.parse({ ...hello, output_config });
  assert.deepEqual(parsed.parsed_output, travel.PACKING);
});

test("models", async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.ok(listed.includes("claude-gpt-oss-20b"));
  assert.equal((await client.models.retrieve("gpt-oss-120b")).max_input_tokens, 131_072);
});

test("NotFoundError", async () => {
  await assert.rejects(client.messages.create({ ...hello, model: "gpt-9" }), Anthropic.NotFoundError);
});

// What the server behind the gateway refuses with, and what that is in the SDK.
const REFUSALS = [
  [400, Anthropic.BadRequestError],
  [401, Anthropic.AuthenticationError],
  [402, Anthropic.PaymentRequiredError],
  [403, Anthropic.PermissionDeniedError],
  [413, Anthropic.ContentTooLargeError],
  [429, Anthropic.RateLimitError],
  [500, Anthropic.InternalServerError],
  [503, Anthropic.ServiceUnavailableError],
  [504, Anthropic.GatewayTimeoutError],
];

test("the class of every refusal", async () => {
  for (const [status, kind] of REFUSALS) {
    await assert.rejects(client.messages.create(hello), (error) => {
      assert.equal(error.constructor, kind, `${status}: ${error}`);
      assert.ok(error.requestID);
      assert.equal(error.error.type, "error");
      return true;
    });
  }
});

test("no room, no answer in time, no connection", async () => {
  const held = client.messages.stream(hello);
  await held.emitted("connect");
  await assert.rejects(client.messages.create(hello), Anthropic.OverloadedError);
  held.abort();
  await assert.rejects(held.finalMessage(), Anthropic.APIUserAbortError);
  await assert.rejects(client.messages.create(hello, { timeout: 300 }), Anthropic.APIConnectionTimeoutError);
  const nowhere = new Anthropic({ baseURL: "http://127.0.0.1:9", apiKey: "none", maxRetries: 0 });
  await assert.rejects(nowhere.messages.create(hello), Anthropic.APIConnectionError);
});

test("APIError in the middle of a stream", async () => {
  await assert.rejects(client.messages.stream(hello).finalMessage(), (error) => {
    assert.ok(error instanceof Anthropic.APIError);
    assert.equal(error.error.error.type, "api_error");
    return true;
  });
});

const provider = createAnthropic({ baseURL: travel.GATEWAY, apiKey: "none" });

test("generateText of the AI SDK", async () => {
  const providerOptions = { anthropic: { thinking: { type: "enabled", budgetTokens: 2000 } } };
  const result = await generateText({ model: provider("gpt-oss-120b"), prompt: "hello", providerOptions });
  assert.equal(result.text, "You said: hello");
  assert.equal(result.finishReason, "stop");
  assert.ok(result.reasoningText.length > 0);
  assert.ok(result.usage.inputTokens > 0);
});

test("an object of the AI SDK", async () => {
  const { output } = await generateText({
    model: provider("gpt-oss-120b"),
    prompt: travel.QUESTION,
    output: Output.object({ schema: travel.Packing }),
  });
  assert.deepEqual(output, travel.PACKING);
});

test("the AI SDK with tools in a stream", async () => {
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
