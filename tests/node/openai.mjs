// The `openai` package, unmodified: Responses, Chat Completions, embeddings, the Agents beta, and Responses over a
// WebSocket. Takes the server from OPENAI_BASE_URL and OPENAI_API_KEY.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { ResponsesWS } from "openai/resources/responses/ws";
import { z } from "zod";

const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });
const model = "test-model";
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = { type: "function", name: "get_weather", description: "Weather", parameters, strict: false };

test("a response streams its text and is kept", async () => {
  const stream = client.responses.stream({ model, input: "hello there, all" });
  const kinds = [];
  let text = "";
  stream.on("event", (event) => kinds.push(event.type));
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const whole = await stream.finalResponse();
  assert.equal(text, "You said: hello there, all");
  assert.equal(whole.output_text, text);
  assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", "response.completed"]);
  assert.equal((await client.responses.retrieve(whole.id)).output_text, text);
  const replayed = client.responses.stream({ response_id: whole.id, starting_after: 2 });
  assert.equal((await replayed.finalResponse()).output_text, text);
});

test("a tool's call is parsed, and its result answered by the response before", async () => {
  const asked = zodResponsesFunction({ name: "get_weather", parameters: z.object({ city: z.string() }) });
  const first = await client.responses.parse({ model, input: "weather?", tools: [asked] });
  const call = first.output.find((item) => item.type === "function_call");
  assert.deepEqual(call.parsed_arguments, { city: "Paris" });
  const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
  const next = { model, previous_response_id: first.id, input: [result], tools: [tool] };
  assert.equal((await client.responses.create(next)).output_text, "It is sunny.");
});

test("a typed answer", async () => {
  const format = zodTextFormat(z.object({ answer: z.number() }), "answer");
  const parsed = await client.responses.parse({ model, input: "as json", text: { format } });
  assert.deepEqual(parsed.output_parsed, { answer: 42 });
});

test("chat completions run their tools by themselves", async () => {
  const asked = [];
  const definition = {
    name: "get_weather",
    description: "Weather",
    parameters,
    parse: JSON.parse,
    function: ({ city }) => asked.push(city) && "sunny",
  };
  const tools = [{ type: "function", function: definition }];
  const messages = [{ role: "user", content: "two calls" }];
  for (const stream of [false, true]) {
    const runner = client.chat.completions.runTools({ model, messages, tools, stream, ...(stream && { stream_options: { include_usage: true } }) });
    assert.equal(await runner.finalContent(), "Both.");
    assert.equal((await runner.totalUsage()).total_tokens > 0, true);
  }
  assert.deepEqual(asked, ["Paris", "Rome", "Paris", "Rome"]);
});

test("embeddings are numbers", async () => {
  const found = await client.embeddings.create({ model, input: ["a", "b"] });
  assert.deepEqual(found.data.map((one) => [one.index, one.embedding.length]), [[0, 8], [1, 8]]);
});

test("models are listed, and an unknown one is the SDK's own error", async () => {
  const found = [];
  for await (const one of client.models.list()) found.push(one.id);
  assert.ok(found.includes(model));
  await assert.rejects(client.responses.create({ model: "nobody", input: "hi" }), { status: 400, code: "model_not_found" });
});

test("an agent's session runs a turn with a tool", async () => {
  const sessions = client.beta.agents.sessions;
  const agent = { model, tools: [tool] };
  const session = await sessions.create({ agent, environment: { type: "none" } });
  const asked = [];
  const weather = { get_weather: ({ city }) => asked.push(city) && "sunny" };
  const stream = sessions.stream(session.id, { input: "weather?", toolHandlers: weather });
  let told = await stream.finalResult();
  assert.equal(told.turn.status, "completed");
  assert.equal(told.output_text, "It is sunny.");
  assert.deepEqual(asked, ["Paris"]);
  told = await sessions.stream(session.id, { input: "and again" }).finalResult();
  assert.equal(told.output_text, "You said: and again");
  const kinds = [];
  for await (const item of sessions.items.list(session.id, { order: "asc", limit: 2 })) kinds.push(item.type);
  assert.deepEqual(kinds, ["message", "reasoning", "function_call", "function_call_output", "message", "message", "message"]);
});

test("a socket carries one response after the other", async () => {
  const socket = new ResponsesWS(client);
  const answered = (body) =>
    new Promise((resolve, reject) => {
      const kinds = [];
      const hear = (event) => {
        kinds.push(event.type);
        if (event.type !== "response.completed") return;
        socket.off("event", hear);
        resolve({ kinds, response: event.response });
      };
      socket.on("event", hear);
      socket.on("error", reject);
      socket.send({ type: "response.create", model, store: false, tools: [tool], ...body });
    });
  const first = await answered({ input: "weather?" });
  assert.equal(first.kinds[0], "response.created");
  const call = first.response.output.find((item) => item.type === "function_call");
  const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
  const second = await answered({ previous_response_id: first.response.id, input: [result] });
  assert.equal(second.response.output.at(-1).content[0].text, "It is sunny.");
  socket.close();
});
