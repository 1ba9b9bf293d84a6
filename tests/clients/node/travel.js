// The task of tests/clients/travel.py in JavaScript.
import { z } from "zod";

export const GATEWAY = `${process.env.GATEWAY_URL}/v1`;
export const MODEL = "gpt-oss-120b";
export const INSTRUCTIONS = "You help people pack. Look things up before you answer.";
export const QUESTION = "I fly to the capital of France tomorrow. What should I pack?";
export const PREFACE = "Let me look that up.";
export const THOUGHT = "We need the city first, then its forecast.\n\nThe tools give both.";
export const ADVICE = "Pack an umbrella: Paris gets rain at 11 °C.";
export const PACKING = { city: "Paris", temperature: 11, items: ["umbrella"] };

export const Packing = z.object({ city: z.string(), temperature: z.number(), items: z.array(z.string()) });
export const Country = z.object({ country: z.string().describe("English name of the country.") });
export const Place = z.object({ city: z.string(), day: z.string().default("today") });

export const findCapital = ({ country }) => ({ France: "Paris" })[country];
export const getForecast = ({ city, day }) =>
  JSON.stringify({ city, day, sky: "rain", temperature: 11 });
