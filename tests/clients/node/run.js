// Runs one test of a file: node run.js FILE TITLE. Without a title it prints all titles as JSON.
import { tests } from "./registry.js";

const [file, title] = process.argv.slice(2);
await import(file);
if (title === undefined) console.log(JSON.stringify([...tests.keys()]));
else await tests.get(title)();
