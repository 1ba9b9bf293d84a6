// The Vercel AI SDK with @ai-sdk/openai as it comes: it speaks Responses, and stores them.
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const openai = createOpenAI({ baseURL: process.env.BASE_URL, apiKey: "none" });
const model = openai("gpt-oss-120b");
const weather = tool({
  description: "Current weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});
const said = {};

const stream = streamText({
  model,
  prompt: "Weather in Paris?",
  tools: { get_weather: weather },
  stopWhen: stepCountIs(4),
});
said.deltas = 0;
for await (const part of stream.fullStream) {
  if (part.type === "error") throw part.error;
  if (part.type === "text-delta") said.deltas += 1;
}
said.streamed = await stream.text;
said.usage = (await stream.totalUsage).totalTokens > 0;

const whole = await generateText({
  model,
  prompt: "Weather in Paris?",
  tools: { get_weather: weather },
  stopWhen: stepCountIs(4),
});
said.whole = whole.text;
said.steps = whole.steps.length;

const { object } = await generateObject({
  model,
  prompt: "JSON: Paris?",
  schema: z.object({ name: z.string(), people: z.number() }),
});
said.object = object;
console.log(JSON.stringify(said));
