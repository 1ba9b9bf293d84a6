// Clients that speak Responses by default: Vercel's OpenAI provider and OpenAI's Agents SDK.
import assert from "node:assert/strict";

import { createOpenAI } from "@ai-sdk/openai";
import { Agent, OpenAIResponsesModel, run, setTracingDisabled, tool as agentTool } from "@openai/agents";
import { generateObject, generateText, isStepCount, streamText, tool } from "ai";
import OpenAI from "openai";

import { test } from "./registry.js";
import * as travel from "./travel.js";

// Traces would be sent to OpenAI.
setTracingDisabled(true);

const descriptions = {
  find_capital: "Finds the capital of a country.",
  get_forecast: "Tells the weather of a day in a city, as JSON.",
};

function vercel() {
  return createOpenAI({ baseURL: travel.GATEWAY, apiKey: "none" })(travel.MODEL);
}

function task() {
  return {
    maxRetries: 0,
    model: vercel(),
    instructions: travel.INSTRUCTIONS,
    prompt: travel.QUESTION,
    tools: {
      find_capital: tool({
        description: descriptions.find_capital,
        inputSchema: travel.Country,
        execute: travel.findCapital,
      }),
      get_forecast: tool({
        description: descriptions.get_forecast,
        inputSchema: travel.Place,
        execute: travel.getForecast,
      }),
    },
    stopWhen: isStepCount(5),
  };
}

function traveller() {
  const client = new OpenAI({ baseURL: travel.GATEWAY, apiKey: "none", maxRetries: 0 });
  return new Agent({
    name: "Traveller",
    instructions: travel.INSTRUCTIONS,
    model: new OpenAIResponsesModel(client, travel.MODEL),
    tools: [
      agentTool({
        name: "find_capital",
        description: descriptions.find_capital,
        parameters: travel.Country,
        execute: travel.findCapital,
      }),
      agentTool({
        name: "get_forecast",
        description: descriptions.get_forecast,
        parameters: travel.Place,
        execute: travel.getForecast,
      }),
    ],
  });
}

test("the AI SDK with tools", async () => {
  const result = await generateText(task());
  assert.equal(result.text, travel.ADVICE);
  assert.equal(result.steps.length, 3);
  assert.ok((await result.totalUsage).totalTokens > 0);
});

test("the AI SDK with tools in a stream", async () => {
  const result = streamText(task());
  const deltas = [];
  for await (const part of result.stream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") deltas.push(part);
  }
  assert.equal(await result.text, travel.ADVICE);
  assert.ok(deltas.length > 1);
});

test("an object of the AI SDK", async () => {
  const result = await generateObject({
    maxRetries: 0,
    model: vercel(),
    prompt: travel.QUESTION,
    schema: travel.Packing,
  });
  assert.deepEqual(result.object, travel.PACKING);
});

test("the Agents SDK with tools", async () => {
  const result = await run(traveller(), travel.QUESTION);
  assert.equal(result.finalOutput, travel.ADVICE);
});

test("the Agents SDK with tools in a stream", async () => {
  const result = await run(traveller(), travel.QUESTION, { stream: true });
  let deltas = 0;
  for await (const event of result) {
    if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta") deltas += 1;
  }
  await result.completed;
  assert.equal(result.finalOutput, travel.ADVICE);
  assert.ok(deltas > 1);
});
