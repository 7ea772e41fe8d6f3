// The AI SDK, unmodified: `@ai-sdk/openai` by Responses and by Chat Completions, `@ai-sdk/anthropic` by Messages. It
// checks every frame against a schema of its own. Takes the server from BASE_URL and KEY.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import assert from "node:assert/strict";
import test from "node:test";
import { z } from "zod";

const baseURL = `${process.env.BASE_URL}/v1`;
const openai = createOpenAI({ baseURL, apiKey: process.env.KEY });
const anthropic = createAnthropic({ baseURL, apiKey: process.env.KEY });
const name = "test-model";
const models = { responses: openai.responses(name), chat: openai.chat(name), messages: anthropic(name) };

/** Reads a stream to its end; an error in it is thrown, which `streamText` itself does not do. */
async function read(result) {
  const parts = [];
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    parts.push(part.type);
  }
  return parts;
}

for (const [kind, model] of Object.entries(models)) {
  const asked = [];
  const execute = async ({ city }) => asked.push(city) && `sunny in ${city}`;
  const get_weather = tool({ description: "Weather", inputSchema: z.object({ city: z.string() }), execute });
  const common = { model, maxRetries: 0, maxOutputTokens: 500, system: "Be brief." };

  test(`${kind}: text whole and streamed`, async () => {
    const whole = await generateText({ ...common, prompt: "hello" });
    assert.deepEqual([whole.text, whole.finishReason], ["You said: hello", "stop"]);
    assert.deepEqual([whole.usage.inputTokens, whole.usage.outputTokens], [12, 5]);
    const streamed = streamText({ ...common, prompt: "hello there, all of you" });
    const parts = await read(streamed);
    assert.equal(await streamed.text, "You said: hello there, all of you");
    assert.ok(parts.filter((part) => part === "text-delta").length > 1, parts);
    assert.equal((await streamed.usage).outputTokens, 5);
  });

  test(`${kind}: tools run between steps`, async () => {
    const options = { ...common, tools: { get_weather }, stopWhen: stepCountIs(4) };
    const streamed = streamText({ ...options, prompt: "weather?" });
    const parts = await read(streamed);
    assert.equal(await streamed.text, "It is sunny.");
    assert.equal((await streamed.steps).length, 2);
    assert.ok(parts.indexOf("tool-call") < parts.indexOf("tool-result"), parts);
    const whole = await generateText({ ...options, prompt: "two calls" });
    assert.equal(whole.text, "Both.");
    assert.deepEqual(asked.splice(0), ["Paris", "Paris", "Rome"]);
  });

  test(`${kind}: a typed answer`, async () => {
    const output = Output.object({ schema: z.object({ answer: z.number() }) });
    assert.deepEqual((await generateText({ ...common, output, prompt: "as json" })).output, { answer: 42 });
    const streamed = streamText({ ...common, output, prompt: "as json" });
    await read(streamed);
    assert.deepEqual(await streamed.output, { answer: 42 });
  });

  test(`${kind}: thoughts`, async () => {
    const streamed = streamText({ ...common, prompt: "think" });
    const parts = await read(streamed);
    assert.equal(await streamed.text, "42");
    if (kind !== "chat") assert.ok(parts.includes("reasoning-start"), parts);
  });

  test(`${kind}: a refusal is an error with a status`, async () => {
    await assert.rejects(generateText({ ...common, prompt: "refused" }), /will not/);
  });
}

test("responses: the server keeps what was said before", async () => {
  const model = models.responses;
  const first = await generateText({ model, prompt: "hello" });
  const previousResponseId = first.providerMetadata.openai.responseId;
  const next = { model, prompt: "and now?", providerOptions: { openai: { previousResponseId } } };
  assert.equal((await generateText(next)).text, "As before.");
});

test("embeddings", async () => {
  const { embeddings } = await embedMany({ model: openai.embedding(name), values: ["a", "b"] });
  assert.deepEqual(embeddings.map((one) => one.length), [8, 8]);
});
