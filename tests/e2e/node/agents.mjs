// OpenAI's Agents SDK for JavaScript in its default mode, which speaks Responses.
import { Agent, run, setDefaultOpenAIClient, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

setTracingDisabled(true);
setDefaultOpenAIClient(new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "none" }));
const weather = tool({
  name: "get_weather",
  description: "Current weather of a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});
const agent = new Agent({ name: "helper", instructions: "Help.", model: "gpt-oss-120b", tools: [weather] });

const whole = await run(agent, "Weather in Paris?");
const streamed = await run(agent, "Weather in Paris?", { stream: true });
let deltas = 0;
for await (const event of streamed) {
  if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta") deltas += 1;
}
await streamed.completed;
console.log(JSON.stringify({ whole: whole.finalOutput, streamed: streamed.finalOutput, deltas }));
