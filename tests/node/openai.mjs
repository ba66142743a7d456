// The OpenAI Node SDK, unchanged, against a gateway: every case in one process, results as JSON on standard output.
//
//   node openai.mjs BASE_URL KEY

import OpenAI from "openai";

const [, , baseURL, apiKey] = process.argv;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const messages = [{ role: "user", content: "hi" }];

const create = (model, more = {}) => client.chat.completions.create({ model, messages, ...more });

const cases = {
  async chat() {
    const answer = await create("assistant");
    return { text: answer.choices[0].message.content, model: answer.model, usage: answer.usage };
  },

  async chat_stream() {
    let text = "";
    let usage = null;
    const models = new Set();
    for await (const chunk of await create("assistant", { stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
      models.add(chunk.model);
    }
    return { text, usage, models: [...models] };
  },

  async chat_stream_without_usage() {
    let chunks = 0;
    let empty = 0;
    for await (const chunk of await create("assistant", { stream: true })) {
      chunks += 1;
      empty += chunk.choices.length === 0 ? 1 : 0;
    }
    return { chunks, empty };
  },

  async completion() {
    const answer = await client.completions.create({ model: "assistant", prompt: "hi" });
    return { text: answer.choices[0].text };
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model: "assistant", input: ["a", "b"] });
    return { count: answer.data.length, vector: [...answer.data[0].embedding] };
  },

  async models() {
    const names = [];
    for await (const model of await client.models.list()) names.push(model.id);
    return { names, one: (await client.models.retrieve("assistant")).id };
  },

  async request_id() {
    const { response } = await create("assistant").withResponse();
    return { id: response.headers.get("x-request-id") };
  },

  bad_key: () => new OpenAI({ baseURL, apiKey: "gw-wrong", maxRetries: 0 }).models.list(),
  bad_json: () => client.post("/chat/completions", { body: "{", headers: { "content-type": "application/json" } }),
  unknown_model: () => create("no-such-model"),
  too_large: () => create("assistant", { messages: [{ role: "user", content: "x".repeat(200_000) }] }),
  client_timeout: () => client.chat.completions.create({ model: "stalls", messages }, { timeout: 300 }),
  upstream_timeout: () => create("stalls"),
  upstream_429: () => create("limited"),
  upstream_500: () => create("broken"),
  unreachable: () => create("unreachable"),

  async cut_stream() {
    for await (const _ of await create("cut", { stream: true })) {
      // The error must come as an exception, after the chunks that were good.
    }
    return {};
  },
};

const results = {};
for (const [name, run] of Object.entries(cases)) {
  try {
    results[name] = { ok: await run() };
  } catch (error) {
    results[name] = {
      error: error.constructor.name,
      status: error.status ?? null,
      code: error.code ?? null,
      type: error.type ?? null,
      message: error.message,
    };
  }
}
process.stdout.write(JSON.stringify(results));
