// Vercel's AI SDK with its provider for compatible servers.
import assert from "node:assert/strict";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, isStepCount, Output, streamText, tool } from "ai";

import { test } from "./registry.js";
import * as travel from "./travel.js";

const options = { maxRetries: 0, onError: () => {} };
const tools = {
  find_capital: tool({
    description: "Finds the capital of a country.",
    inputSchema: travel.Country,
    execute: travel.findCapital,
  }),
  get_forecast: tool({
    description: "Tells the weather of a day in a city, as JSON.",
    inputSchema: travel.Place,
    execute: travel.getForecast,
  }),
};
const task = {
  ...options,
  instructions: travel.INSTRUCTIONS,
  prompt: travel.QUESTION,
  tools,
  stopWhen: isStepCount(5),
};

function model(settings) {
  return createOpenAICompatible({ name: "gptoss", baseURL: travel.GATEWAY, ...settings })(travel.MODEL);
}

async function partsOf(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

function joined(parts, type) {
  return parts.filter((part) => part.type === type).map((part) => part.text).join("");
}

test("generateText", async () => {
  const result = await generateText({ ...options, model: model(), prompt: "hello" });
  assert.equal(result.text, "You said: hello");
  assert.equal(result.finishReason, "stop");
  assert.ok(result.reasoningText.length > 0);
  assert.ok(result.usage.totalTokens > 0);
});

test("streamText", async () => {
  const result = streamText({ ...options, model: model({ includeUsage: true }), prompt: "hello" });
  const parts = await partsOf(result.stream);
  assert.equal(joined(parts, "text-delta"), "You said: hello");
  assert.equal(joined(parts, "reasoning-delta"), await result.reasoningText);
  assert.ok(parts.filter((part) => part.type === "text-delta").length > 1);
  assert.equal(await result.finishReason, "stop");
  assert.ok((await result.usage).outputTokens > 0);
});

test("generateText with tools", async () => {
  const result = await generateText({ ...task, model: model() });
  assert.equal(result.text, travel.ADVICE);
  assert.deepEqual(
    result.steps.flatMap((step) => step.toolCalls.map((call) => call.toolName)),
    ["find_capital", "get_forecast"],
  );
});

test("streamText with tools", async () => {
  const result = streamText({ ...task, model: model() });
  const parts = await partsOf(result.stream);
  assert.deepEqual(parts.filter((part) => part.type === "error"), []);
  const calls = parts.filter((part) => part.type === "tool-call");
  assert.deepEqual(
    calls.map((call) => [call.toolName, call.input]),
    [
      ["find_capital", { country: "France" }],
      ["get_forecast", { city: "Paris", day: "tomorrow" }],
    ],
  );
  const started = parts.filter((part) => part.type === "tool-input-start");
  assert.deepEqual(started.map((part) => part.toolName), ["find_capital", "get_forecast"]);
  const written = parts.filter((part) => part.type === "tool-input-delta").map((part) => part.delta);
  assert.match(written.join(""), /France.*Paris/);
  assert.equal(joined(parts, "reasoning-delta"), travel.THOUGHT.repeat(3));
  assert.equal(await result.text, travel.ADVICE);
});

test("parallel calls in a stream", async () => {
  const result = streamText({ ...task, model: model(), stopWhen: isStepCount(1) });
  const calls = (await partsOf(result.stream)).filter((part) => part.type === "tool-call");
  assert.deepEqual(calls.map((call) => call.input.city), ["Paris", "Rome", "Oslo"]);
});

test("a tool that must be called", async () => {
  const result = await generateText({
    ...task,
    model: model(),
    toolChoice: { type: "tool", toolName: "get_forecast" },
    stopWhen: isStepCount(1),
  });
  assert.deepEqual(result.toolCalls.map((call) => call.toolName), ["get_forecast"]);
});

// Without `supportsStructuredOutputs` the provider asks for any JSON object.
for (const supportsStructuredOutputs of [true, false]) {
  const form = supportsStructuredOutputs ? "json_schema" : "json_object";

  test(`generateObject by ${form}`, async () => {
    const { object } = await generateObject({
      ...options,
      model: model({ supportsStructuredOutputs }),
      schema: travel.Packing,
      prompt: travel.QUESTION,
    });
    assert.deepEqual(object, travel.PACKING);
  });

  test(`tools and an object by ${form}`, async () => {
    const { output, steps } = await generateText({
      ...task,
      model: model({ supportsStructuredOutputs }),
      output: Output.object({ schema: travel.Packing }),
    });
    assert.deepEqual(output, travel.PACKING);
    assert.equal(steps.length, 3);
  });
}

test("a stream of an object", async () => {
  const result = streamText({
    ...options,
    model: model({ supportsStructuredOutputs: true }),
    output: Output.object({ schema: travel.Packing }),
    prompt: travel.QUESTION,
  });
  assert.deepEqual((await partsOf(result.partialOutputStream)).at(-1), travel.PACKING);
  assert.deepEqual(await result.output, travel.PACKING);
});

test("an error with its status", async () => {
  const asked = generateText({ maxRetries: 2, model: model(), prompt: "hello" });
  await assert.rejects(asked, (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 401);
    assert.match(error.message, /gptoss-api login/);
    return true;
  });
});

test("an error in the middle of a stream", async () => {
  const result = streamText({ ...options, model: model(), prompt: "hello" });
  const parts = await partsOf(result.stream);
  const errors = parts.filter((part) => part.type === "error");
  assert.equal(errors.length, 1);
  assert.match(String(errors[0].error.message ?? errors[0].error), /could not answer/);
  assert.ok(joined(parts, "text-delta").length > 0);
});

test("the demo", async () => {
  const result = streamText({ ...task, model: model() });
  const parts = await partsOf(result.stream);
  assert.deepEqual(parts.filter((part) => part.type === "error" || part.type === "tool-call"), []);
  assert.match(await result.text, /no model is behind this answer/);
});
