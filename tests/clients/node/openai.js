// The official openai SDK for JavaScript.
import assert from "node:assert/strict";

import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";

import { test } from "./registry.js";
import * as travel from "./travel.js";

const messages = [{ role: "user", content: "hello" }];
const question = [
  { role: "system", content: travel.INSTRUCTIONS },
  { role: "user", content: travel.QUESTION },
];
const tools = [
  zodFunction({ name: "find_capital", parameters: travel.Country, function: travel.findCapital }),
  zodFunction({ name: "get_forecast", parameters: travel.Place, function: travel.getForecast }),
];

function client(settings) {
  return new OpenAI({ baseURL: travel.GATEWAY, apiKey: "none", maxRetries: 0, ...settings });
}

function create(settings, body) {
  return client(settings).chat.completions.create({ model: travel.MODEL, messages, ...body });
}

test("chat", async () => {
  const { data, response, request_id } = await create().withResponse();
  assert.equal(data.choices[0].message.content, "You said: hello");
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.equal(response.headers.get("x-gptoss-upstream"), "gpt-oss.com");
  assert.equal(request_id, response.headers.get("x-request-id"));
  assert.ok(request_id);
});

test("stream", async () => {
  const stream = await create({}, { stream: true, stream_options: { include_usage: true } });
  let text = "";
  let thought = "";
  let usage = null;
  const reasons = [];
  for await (const chunk of stream) {
    const [choice] = chunk.choices;
    text += choice?.delta.content ?? "";
    thought += choice?.delta.reasoning_content ?? "";
    if (choice?.finish_reason) reasons.push(choice.finish_reason);
    usage = chunk.usage;
  }
  assert.equal(text, "You said: hello");
  assert.ok(thought.length > 0);
  assert.deepEqual(reasons, ["stop"]);
  assert.ok(usage.completion_tokens_details.reasoning_tokens > 0);
});

test("stream helper", async () => {
  const stream = client().chat.completions.stream({ model: travel.MODEL, messages });
  const pieces = [];
  stream.on("content", (delta) => pieces.push(delta));
  assert.equal(await stream.finalContent(), "You said: hello");
  assert.equal(pieces.join(""), "You said: hello");
});

test("leaving a stream", async () => {
  const stream = await create({}, { stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) break;
  }
});

test("models", async () => {
  const ids = [];
  for await (const model of client().models.list()) ids.push(model.id);
  assert.deepEqual(ids, ["gpt-oss-120b", "gpt-oss-20b"]);
  assert.equal((await client().models.retrieve("openai/gpt-oss-20b")).id, "gpt-oss-20b");
});

for (const stream of [false, true]) {
  test(stream ? "run tools in a stream" : "run tools", async () => {
    const runner = client().chat.completions.runTools({
      model: travel.MODEL,
      messages: question,
      tools,
      stream,
    });
    const called = [];
    runner.on("functionToolCall", (call) => called.push(call.name));
    assert.equal(await runner.finalContent(), travel.ADVICE);
    assert.deepEqual(called, ["find_capital", "get_forecast"]);
  });
}

test("parse", async () => {
  const completion = await client().chat.completions.parse({
    model: travel.MODEL,
    messages: question,
    response_format: zodResponseFormat(travel.Packing, "packing"),
  });
  assert.deepEqual(completion.choices[0].message.parsed, travel.PACKING);
});

test("AuthenticationError", async () => {
  await assert.rejects(create({ maxRetries: 2 }), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.type, "authentication_error");
    assert.equal(error.code, "upstream_login_required");
    assert.equal(error.headers.get("x-should-retry"), "false");
    return true;
  });
});

test("NotFoundError", async () => {
  await assert.rejects(create({}, { model: "gpt-4o" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
});

test("BadRequestError", async () => {
  await assert.rejects(create({}, { temperature: 3 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.param, error.code], ["temperature", "decimal_above_max_value"]);
    return true;
  });
});

test("PermissionDeniedError", async () => {
  const settings = { defaultHeaders: { origin: "https://page.example" } };
  await assert.rejects(create(settings), (error) => {
    assert.ok(error instanceof OpenAI.PermissionDeniedError);
    assert.equal(error.code, "origin_not_allowed");
    return true;
  });
});

test("RateLimitError", async () => {
  await assert.rejects(create(), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.code, "upstream_rate_limited");
    assert.equal(error.headers.get("retry-after"), "7");
    return true;
  });
});

test("waiting out a limit", async () => {
  const began = performance.now();
  const completion = await create({ maxRetries: 1 });
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.ok(performance.now() - began >= 3000);
});

test("InternalServerError", async () => {
  await assert.rejects(create(), (error) => {
    assert.ok(error instanceof OpenAI.InternalServerError);
    assert.equal(error.status, 502);
    assert.equal(error.code, "upstream_error");
    return true;
  });
});

test("APIConnectionTimeoutError", async () => {
  await assert.rejects(create({ timeout: 300 }), OpenAI.APIConnectionTimeoutError);
});

test("APIError in the middle of a stream", async () => {
  const stream = await create({ maxRetries: 2 }, { stream: true });
  let text = "";
  await assert.rejects(
    async () => {
      for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
    },
    (error) => {
      assert.ok(error instanceof OpenAI.APIError);
      assert.equal(error.code, "upstream_error");
      assert.match(error.message, /could not answer/);
      return true;
    },
  );
  assert.ok(text.length > 0);
});
