#!/bin/sh
# What the tool runner of Anthropic's JavaScript SDK sends after a tool has run.
#
# Seen with @anthropic-ai/sdk 1.14.0: `client.beta.messages.toolRunner` asks for a thread on the server
# ("thread": {"type": "create"}, beta message-threads-2026-08-12) without being told to, and its second request holds
# nothing but the tool's result, with "thread": {"type": "continue", "previous_message_id": …}, although the reply
# said nothing of a thread. A server of the Messages API that passes over fields it does not know therefore
# answers half a conversation with 200: the question and the call are gone.
#
# Needs node and npm. Fails when the behaviour changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
printf '{"type": "module", "dependencies": {"@anthropic-ai/sdk": "1.14.0"}}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts
cat >run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import http from "node:http";

import Anthropic from "@anthropic-ai/sdk";

const asked = [];
const server = http.createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  const { thread, messages } = JSON.parse(body);
  asked.push({ thread, content: messages.map((message) => message.content) });
  const calls = asked.length === 1;
  response.setHeader("content-type", "application/json");
  response.end(
    JSON.stringify({
      id: `msg_${asked.length}`,
      type: "message",
      role: "assistant",
      model: "any",
      content: calls
        ? [{ type: "tool_use", id: "toolu_1", name: "get_time", input: {} }]
        : [{ type: "text", text: "It is noon." }],
      stop_reason: calls ? "tool_use" : "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 1, output_tokens: 1 },
    }),
  );
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const client = new Anthropic({ apiKey: "none", baseURL: `http://127.0.0.1:${server.address().port}` });
await client.beta.messages.toolRunner({
  model: "any",
  max_tokens: 100,
  messages: [{ role: "user", content: "What time is it?" }],
  tools: [
    { name: "get_time", input_schema: { type: "object", properties: {} }, parse: (input) => input, run: () => "12:00" },
  ],
});
server.close();
console.log(JSON.stringify(asked, null, 1));
assert.equal(asked.length, 2);
assert.deepEqual(asked[0].thread, { type: "create" });
assert.deepEqual(asked[1].thread, { type: "continue", previous_message_id: "msg_1" });
assert.equal(asked[1].content.length, 1);
assert.equal(asked[1].content[0][0].type, "tool_result");
JAVASCRIPT
node run.mjs
