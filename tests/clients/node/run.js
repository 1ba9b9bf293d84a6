// Runs the tests of a file: node run.js FILE. Prints their titles as JSON, then reads titles from standard input,
// one in a line, and prints for each what went wrong, or null.
import { createInterface } from "node:readline";

import { tests } from "./registry.js";

await import(process.argv[2]);
console.log(JSON.stringify([...tests.keys()]));
for await (const title of createInterface({ input: process.stdin })) {
  const failure = await tests.get(title)().then(() => null, (error) => error?.stack ?? String(error));
  console.log(JSON.stringify(failure));
}
process.exit();
