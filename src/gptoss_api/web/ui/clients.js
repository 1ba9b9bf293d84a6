// What to paste into which client, with the address at which the browser has reached this gateway.

const MODEL = "gpt-oss-120b";
const SMALL = "gpt-oss-20b";
const NO_KEY = "none";

/**
 * The clients: `name`, `steps` to be done by hand in words, and `texts` to be pasted, each [where, text];
 * `setup` is what 'gptoss-api setup' calls those that it sets up by itself.
 * `root` is the gateway's address without a slash at the end, `key` what stands in the place of a key, "none" where none is needed.
 */
export function clients(root, key) {
  const base = `${root}/v1`;
  return [
    {
      name: "curl",
      texts: [
        [
          "In a terminal",
          `curl ${base}/chat/completions \\
  -H "Authorization: Bearer ${key}" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "${MODEL}", "messages": [{"role": "user", "content": "Say hello."}]}'`,
        ],
      ],
    },
    {
      name: "OpenAI SDK, Python",
      texts: [
        [
          "pip install openai",
          `from openai import OpenAI

client = OpenAI(base_url="${base}", api_key="${key}")
answer = client.chat.completions.create(
    model="${MODEL}",
    messages=[{"role": "user", "content": "Say hello."}],
)
print(answer.choices[0].message.content)`,
        ],
      ],
    },
    {
      name: "OpenAI SDK, JavaScript",
      texts: [
        [
          "npm install openai",
          `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}", apiKey: "${key}" });
const answer = await client.chat.completions.create({
  model: "${MODEL}",
  messages: [{ role: "user", content: "Say hello." }],
});
console.log(answer.choices[0].message.content);`,
        ],
      ],
    },
    {
      name: "Codex",
      setup: "codex",
      texts: [
        [
          "~/.codex/config.toml",
          `model = "${MODEL}"
model_provider = "gptoss"

[features]
api_key_model_discovery = true

[model_providers.gptoss]
name = "gptoss-api"
base_url = "${base}"
wire_api = "responses"
${key === NO_KEY ? `experimental_bearer_token = "${key}"` : 'env_key = "GPTOSS_API_KEY"'}
model_catalog_url = "${base}/models"`,
        ],
        ["In a terminal", key === NO_KEY ? "codex" : `export GPTOSS_API_KEY=${key}\ncodex`],
      ],
    },
    {
      name: "Claude Code",
      setup: "claude-code",
      texts: [
        [
          "In a terminal; the address has no /v1",
          `export ANTHROPIC_BASE_URL=${root}
export ANTHROPIC_AUTH_TOKEN=${key}
export ANTHROPIC_MODEL=${MODEL}
export ANTHROPIC_DEFAULT_HAIKU_MODEL=${SMALL}
export ANTHROPIC_DEFAULT_SONNET_MODEL=${MODEL}
export ANTHROPIC_DEFAULT_OPUS_MODEL=${MODEL}
export CLAUDE_CODE_SUBAGENT_MODEL=${MODEL}
export CLAUDE_CODE_MAX_CONTEXT_TOKENS=131072
export CLAUDE_CODE_MAX_OUTPUT_TOKENS=16000
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
claude`,
        ],
      ],
    },
    {
      name: "Open WebUI",
      setup: "open-webui",
      steps: "From a container the gateway on the same machine is at host.docker.internal instead; it must then listen on more than loopback, which needs keys.",
      texts: [["In a terminal", `OPENAI_API_BASE_URL=${base} OPENAI_API_KEY=${key} open-webui serve`]],
    },
    {
      name: "Cline",
      setup: "cline",
      steps: `In the extension: API Provider "OpenAI Compatible", with this address as the Base URL, ${MODEL} as the Model ID and a Context Window of 131072.`,
      texts: [
        ["Base URL", base],
        ["The command line", `cline auth -p openai-compatible -k ${key} -m ${MODEL} -b ${base}\ncline -P openai-compatible -m ${MODEL} "Say hello."`],
      ],
    },
    {
      name: "Continue",
      setup: "continue",
      texts: [
        [
          "~/.continue/config.yaml",
          `name: gptoss
version: 1.0.0
schema: v1
models:
  - name: gpt-oss 120B
    provider: openai
    model: ${MODEL}
    apiBase: ${base}
    apiKey: ${key}
    roles: [chat, edit, apply]
    capabilities: [tool_use]`,
        ],
      ],
    },
    {
      name: "VS Code",
      setup: "vscode",
      steps: 'In Copilot\'s chat choose "Manage Models…", then Ollama. The gateway speaks its API at this address.',
      texts: [["settings.json", `{ "github.copilot.chat.byok.ollamaEndpoint": "${root}" }`]],
    },
    {
      name: "Ollama's clients",
      texts: [["In a terminal", `export OLLAMA_HOST=${root}\nollama run gpt-oss:20b "Say hello."`]],
    },
    {
      name: "LangChain",
      texts: [
        [
          "pip install langchain-openai",
          `from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="${MODEL}", base_url="${base}", api_key="${key}")
print(model.invoke("Say hello.").content)`,
        ],
      ],
    },
    {
      name: "n8n",
      steps: `Make a credential of type "OpenAI" with this Base URL and ${key === NO_KEY ? "any text" : "your key"} as the API Key. Choose it in an "OpenAI Chat Model" node and enter ${MODEL} as the model.`,
      texts: [["Base URL", base]],
    },
    {
      name: "opencode",
      setup: "opencode",
      texts: [
        [
          "opencode.json",
          `{
  "model": "gptoss/${MODEL}",
  "provider": {
    "gptoss": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "gptoss-api",
      "options": { "baseURL": "${base}", "apiKey": "${key}" },
      "models": {
        "${MODEL}": { "name": "gpt-oss 120B", "limit": { "context": 131072, "output": 32768 } }
      }
    }
  }
}`,
        ],
      ],
    },
    {
      name: "aider",
      setup: "aider",
      texts: [["In a terminal", `export OPENAI_API_BASE=${base}\nexport OPENAI_API_KEY=${key}\naider --model openai/${MODEL}`]],
    },
    {
      name: "Zed",
      setup: "zed",
      texts: [
        [
          "settings.json",
          `{
  "language_models": {
    "ollama": {
      "api_url": "${root}",
      "available_models": [
        { "name": "gpt-oss:120b", "max_tokens": 131072, "supports_tools": true, "supports_thinking": true }
      ]
    }
  }
}`,
        ],
      ],
    },
  ];
}
