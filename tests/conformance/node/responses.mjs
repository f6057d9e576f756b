// Drives an unmodified `openai` through the Responses API and prints, as JSON, what it saw: node responses.mjs PORT
// FOLDER. The model's name tells the scripted generator which scenario this is.

import { FORBIDDEN, base64, dataUrl, digest } from "./driving.mjs";
import { client, once, play, streamed } from "./openai.mjs";

const TOOL = { type: "image_generation", partial_images: 1 };
const user = (...parts) => ({
  role: "user",
  content: parts.map((part) => (typeof part === "string" ? { type: "input_text", text: part } : part)),
});
const image = (name) => ({ type: "input_image", image_url: dataUrl(name), detail: "auto" });
const fileId = { file_id: "file-abc123bad" };
const drawn = (name) => ({ type: "image_generation_call", id: "ig_0", status: "completed", result: base64(name) });
const again = [{ role: "assistant", content: "ok" }, user("again")];
const tool = { type: "function", name: "ask", description: `draws ${FORBIDDEN} in oil`, parameters: {}, strict: false };
const call = { type: "function_call", call_id: "c1", name: "ask", arguments: JSON.stringify({ a: FORBIDDEN }) };
const output = (said) => ({ type: "function_call_output", call_id: "c1", output: said });
const mcp = { type: "mcp", server_label: "x", server_url: "https://mcp.example/", require_approval: "never" };

const told = (answer) => ({
  id: answer.id,
  status: answer.status,
  text: answer.output_text ?? "",
  items: answer.output.map((one) => ({
    type: one.type,
    status: one.status ?? null,
    picture: digest(one.result),
    error: one.error?.code ?? null,
    parts: (one.content ?? []).map((part) => part.type),
  })),
});

const ask = async (model, input = "a red bicycle", more = {}, using = client) =>
  told(await using.responses.create({ model, input, tools: [TOOL], ...more }));

async function stream(model, input = "a red bicycle") {
  let final = null;
  const asked = client.responses.create({ model, input, tools: [TOOL], stream: true });
  const said = await streamed(asked, (event, seen) => {
    const encoded = event.partial_image_b64 ?? event.item?.result;
    seen.push({ type: event.type, picture: digest(encoded), delta: event.delta ?? null });
    if (event.type === "response.completed") final = told(event.response);
  });
  return { ...said, final };
}

const helper = async (model) =>
  told(await client.responses.stream({ model, input: "a red bicycle", tools: [TOOL] }).finalResponse());

// A job that is begun, and fetched twice: it runs the first time and is done the second.
async function job(model) {
  const input = [user("by night", image("good"))];
  const begun = await client.responses.create({ model, input, tools: [TOOL], background: true });
  const fetched = [await client.responses.retrieve(begun.id), await client.responses.retrieve(begun.id)];
  return { answers: [begun, ...fetched].map(told) };
}

async function twoTurns(model) {
  const first = await client.responses.create({ model, input: [user("my aunt", image("good"))], tools: [TOOL] });
  const more = { input: "by night", previous_response_id: first.id, tools: [TOOL] };
  return { answers: [first, await client.responses.create({ model, ...more })].map(told) };
}

await play({
  generate: (name) => ask(name),
  edit: (name) => ask(name, [user("by night", image("good"))]),
  "words-only": (name) => ask(name),
  switches: (name) => ask(name, undefined, { tools: [{ ...TOOL, moderation: "low" }] }),
  "two-turns": twoTurns,
  job,
  stream: (name) => stream(name),
  helper,
  "slot-text": (name) => ask(name, FORBIDDEN),
  "slot-part": (name) => ask(name, [user("a red bicycle", FORBIDDEN)]),
  "slot-instructions": (name) => ask(name, undefined, { instructions: FORBIDDEN }),
  "slot-history": (name) => ask(name, [user(FORBIDDEN), ...again]),
  "slot-assistant": (name) => ask(name, [{ role: "assistant", content: FORBIDDEN }, user("again")]),
  "slot-tool": (name) => ask(name, undefined, { tools: [tool] }),
  "slot-tool-call": (name) => ask(name, [call, user("again")]),
  "slot-tool-answer": (name) => ask(name, [output(FORBIDDEN), user("again")]),
  "slot-unknown": (name) => ask(name, undefined, { style: "forbidden" }),
  "slot-of-the-image-tool": (name) => ask(name, undefined, { tools: [{ ...TOOL, negative_prompt: FORBIDDEN }] }),
  "slot-stream": (name) => stream(name, FORBIDDEN),
  "input-picture": (name) => ask(name, [user("by night", image("bad"))]),
  "input-second": (name) => ask(name, [user("by night", image("good"), image("bad"))]),
  "input-file": (name) => ask(name, [user("by night", { type: "input_image", ...fileId })]),
  "input-file-of-mask": (name) => ask(name, undefined, { tools: [{ ...TOOL, input_image_mask: fileId }] }),
  "input-words": (name) => ask(name, [user(`as in ![it](${dataUrl("bad")})`)]),
  "input-history": (name) => ask(name, [user(image("bad")), ...again]),
  "input-drawn": (name) => ask(name, [drawn("bad"), user("by night")]),
  "input-mask": (name) =>
    ask(name, undefined, { tools: [{ ...TOOL, input_image_mask: { image_url: dataUrl("bad") } }] }),
  "input-tool-answer": (name) => ask(name, [output([image("bad")]), user("again")]),
  "input-stream": (name) => stream(name, [user("by night", image("bad"))]),
  "output-refused": (name) => ask(name),
  "output-one-of-two": (name) => ask(name),
  "output-markdown": (name) => ask(name),
  "output-job": job,
  "output-stream-partial": (name) => stream(name),
  "output-stream-item": (name) => stream(name),
  "output-stream-markdown": (name) => stream(name),
  "output-stream-helper": helper,
  "stream-cut": (name) => stream(name),
  "reference-response": (name) => ask(name, undefined, { previous_response_id: "resp_unknown" }),
  "reference-item": (name) => ask(name, [{ type: "item_reference", id: "ig_unknown" }, user("by night")]),
  "reference-prompt": (name) => ask(name, undefined, { prompt: { id: "pmpt_1" } }),
  "reference-conversation": (name) => ask(name, undefined, { conversation: "conv_1" }),
  "reference-job": async () => told(await client.responses.retrieve("resp_reference-job")),
  "tool-mcp": (name) => ask(name, undefined, { tools: [mcp] }),
  busy: (name) => ask(name, undefined, {}, once),
  html: (name) => ask(name, undefined, {}, once),
  closed: async () => ({ items: (await client.responses.inputItems.list("resp_closed")).data }),
});
