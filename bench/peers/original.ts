/**
 * The original program, gptossToapi for Deno, re-implemented for this benchmark.
 *
 * Its source carries no licence, so it is not copied here. This program was written anew with the same
 * structure, so that the same work is done for each request: `Deno.serve` with one handler that
 * routes by path and sets CORS headers on each response; the last user message alone goes upstream with
 * `fetch`; an async generator reads the body with a reader and a `TextDecoder`, splits a growing buffer at
 * line ends, parses the JSON of each data line and yields text deltas; a streamed answer is a
 * `ReadableStream` fed from its `start`, one `crypto.randomUUID` and one `JSON.stringify` a chunk; a whole
 * answer concatenates the deltas.
 *
 * Two things differ: the upstream's address and the port come from the environment (CHATKIT_URL, PORT).
 */

const UPSTREAM = Deno.env.get("CHATKIT_URL") ?? "https://api.gpt-oss.com/chatkit";
const JSON_TYPE = { "Content-Type": "application/json" };
const CORS = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
  "Access-Control-Allow-Headers": "Content-Type, Authorization",
};
const MODELS: Record<string, unknown> = Object.fromEntries(
  ["gpt-oss-120b", "gpt-oss-20b"].map((id) => [
    id,
    { id, object: "model", created: Date.now(), owned_by: "gpt-oss" },
  ]),
);

interface Message {
  role: string;
  content: string;
}

class Upstream {
  async *complete(model: string, messages: Message[]): AsyncGenerator<string> {
    const text = messages.filter((message) => message.role === "user").pop()?.content || "";
    const response = await fetch(UPSTREAM, {
      method: "POST",
      headers: {
        "accept": "text/event-stream",
        "x-reasoning-effort": "high",
        "x-selected-model": model,
        "x-show-reasoning": "true",
      },
      body: JSON.stringify({
        op: "threads.create",
        params: {
          input: { text, content: [{ type: "input_text", text }], quoted_text: "", attachments: [] },
        },
      }),
    });
    if (!response.ok || !response.body) {
      throw new Error(`the upstream answered ${response.status}`);
    }
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() || "";
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.substring(5).trim();
        if (data === "[DONE]") continue;
        try {
          const event = JSON.parse(data);
          if (event.type === "thread.item_updated") {
            const update = event.update?.entry || event.update;
            if (update?.type === "assistant_message.content_part.text_delta") yield update.delta;
          }
        } catch (error) {
          console.error("an event could not be read:", error);
        }
      }
    }
  }
}

function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status, headers: JSON_TYPE });
}

function failure(status: number, message: string, type = "invalid_request_error"): Response {
  return json({ error: { message, type } }, status);
}

function chunk(model: string, delta: Record<string, string>, finish: string | null): string {
  const data = {
    id: `chatcmpl-${crypto.randomUUID()}`,
    object: "chat.completion.chunk",
    created: Math.floor(Date.now() / 1000),
    model,
    choices: [{ index: 0, delta, finish_reason: finish }],
  };
  return `data: ${JSON.stringify(data)}\n\n`;
}

function streamed(model: string, deltas: AsyncGenerator<string>): Response {
  const body = new ReadableStream({
    async start(controller) {
      try {
        const encoder = new TextEncoder();
        for await (const content of deltas) {
          controller.enqueue(encoder.encode(chunk(model, { content }, null)));
        }
        controller.enqueue(encoder.encode(chunk(model, {}, "stop")));
        controller.enqueue(encoder.encode("data: [DONE]\n\n"));
        controller.close();
      } catch (error) {
        console.error("the stream broke:", error);
        controller.error(error);
      }
    },
  });
  return new Response(body, {
    status: 200,
    headers: {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-cache",
      "Connection": "keep-alive",
    },
  });
}

async function whole(model: string, deltas: AsyncGenerator<string>): Promise<Response> {
  let content = "";
  for await (const delta of deltas) content += delta;
  return json({
    id: `chatcmpl-${crypto.randomUUID()}`,
    object: "chat.completion",
    created: Math.floor(Date.now() / 1000),
    model,
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
  });
}

async function chat(request: Request): Promise<Response> {
  try {
    const body = await request.json();
    const model = body.model || "gpt-oss-120b";
    const messages = body.messages || [];
    if (!Object.keys(MODELS).includes(model)) return failure(400, `Model '${model}' not found`);
    if (!Array.isArray(messages) || messages.length === 0) {
      return failure(400, "Messages must be a non-empty array");
    }
    const deltas = new Upstream().complete(model, messages);
    return body.stream ? streamed(model, deltas) : await whole(model, deltas);
  } catch (error) {
    console.error("the request failed:", error);
    return failure(500, "Internal server error", "server_error");
  }
}

async function handler(request: Request): Promise<Response> {
  const path = new URL(request.url).pathname;
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: CORS });
  let response: Response;
  if (path === "/v1/models" && request.method === "GET") {
    response = json({ object: "list", data: Object.values(MODELS) });
  } else if (path === "/v1/chat/completions" && request.method === "POST") {
    response = await chat(request);
  } else if (path === "/" && request.method === "GET") {
    response = json({ status: "ok", endpoints: ["/v1/models", "/v1/chat/completions"] });
  } else {
    response = failure(404, `Path ${path} not found`);
  }
  for (const [name, value] of Object.entries(CORS)) response.headers.set(name, value);
  return response;
}

Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.env.get("PORT") ?? "8000") }, handler);
