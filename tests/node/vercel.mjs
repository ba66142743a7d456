// The Vercel AI SDK, unchanged, against a gateway: every case in one process, results as JSON on standard output.
//
//   node vercel.mjs BASE_URL KEY

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

// What it thinks of a model's name would go to standard output.
globalThis.AI_SDK_LOG_WARNINGS = false;

const [, , base, apiKey] = process.argv;
const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey });
const providers = {
  chat: openai.chat,
  responses: openai.responses,
  anthropic: createAnthropic({ baseURL: `${base}/v1`, apiKey }),
  google: createGoogleGenerativeAI({ baseURL: `${base}/v1beta`, apiKey }),
};

const get_weather = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `21 degrees in ${city}`,
});

const cases = {
  async text(model) {
    const answer = await generateText({ model: model("assistant"), prompt: "hi", maxRetries: 0 });
    return { text: answer.text, finish: answer.finishReason, output: answer.usage.outputTokens };
  },

  async stream(model) {
    let text = "";
    const answer = streamText({ model: model("assistant"), prompt: "hi", maxRetries: 0 });
    for await (const piece of answer.textStream) text += piece;
    return { text, finish: await answer.finishReason, output: (await answer.usage).outputTokens };
  },

  async tool(model) {
    const answer = await generateText({
      model: model("caller"),
      prompt: "How is the weather in Paris?",
      tools: { get_weather },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
    });
    return { text: answer.text, steps: answer.steps.length };
  },

  async limited(model) {
    return (await generateText({ model: model("limited"), prompt: "hi", maxRetries: 0 })).text;
  },
};

const results = {};
for (const [client, model] of Object.entries(providers)) {
  for (const [name, run] of Object.entries(cases)) {
    try {
      results[`${client} ${name}`] = { ok: await run(model) };
    } catch (error) {
      results[`${client} ${name}`] = { error: error.name, status: error.statusCode, message: error.message };
    }
  }
}
process.stdout.write(JSON.stringify(results));
