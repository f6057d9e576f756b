// Drives an unmodified `openai` through chats with pictures and prints, as JSON, what it saw: node chat.mjs PORT FOLDER.
// The model's name tells the scripted generator which scenario this is.

import { FORBIDDEN, dataUrl, digest } from "./driving.mjs";
import { client, once, play, streamed } from "./openai.mjs";

const image = (name) => ({ type: "image_url", image_url: { url: dataUrl(name) } });
const text = (words) => ({ type: "text", text: words });
const said = (role, content, more = {}) => ({ role, content, ...more });
const pictures = (images) => (images ?? []).map((one) => digest(one.image_url.url.split(",")[1]));

async function ask(model, messages = [said("user", "a red bicycle")], more = {}, using = client) {
  const answer = await using.chat.completions.create({ model, messages, ...more });
  return {
    choices: answer.choices.map((one) => ({
      content: one.message.content,
      refusal: one.message.refusal ?? null,
      reason: one.finish_reason,
      pictures: pictures(one.message.images),
    })),
  };
}

async function stream(model, messages = [said("user", "a red bicycle")]) {
  const seen = { content: "", pictures: [], reasons: [] };
  const { error } = await streamed(client.chat.completions.create({ model, messages, stream: true }), (chunk) => {
    for (const one of chunk.choices ?? []) {
      seen.content += one.delta.content ?? "";
      seen.pictures.push(...pictures(one.delta.images));
      if (one.finish_reason) seen.reasons.push(one.finish_reason);
    }
  });
  return error ? { ...seen, error } : seen;
}

const tool = { type: "function", function: { name: "ask", description: `draws ${FORBIDDEN} in oil`, parameters: {} } };
const call = { id: "c1", type: "function", function: { name: "ask", arguments: JSON.stringify({ a: FORBIDDEN }) } };
const user = said("user", "by night");
const sound = { type: "input_audio", input_audio: { data: "QUJD", format: "wav" } };

await play({
  generate: (name) => ask(name),
  "generate-async": (name) => ask(name, [said("user", [text("by night"), image("good")])]),
  edit: (name) => ask(name, [said("user", [text("by night"), image("good"), image("other")])]),
  "two-choices": (name) => ask(name, undefined, { n: 2 }),
  markdown: (name) => ask(name),
  "words-only": (name) => ask(name),
  switches: (name) => ask(name, undefined, { disable_safety_checker: true }),
  stream: (name) => stream(name),
  "stream-markdown": (name) => stream(name),
  "slot-text": (name) => ask(name, [said("user", FORBIDDEN)]),
  "slot-part": (name) => ask(name, [said("user", [text("a red bicycle"), text(FORBIDDEN)])]),
  "slot-history": (name) => ask(name, [said("user", FORBIDDEN), said("assistant", "done"), user]),
  "slot-assistant": (name) => ask(name, [said("assistant", FORBIDDEN), user]),
  "slot-system": (name) => ask(name, [said("system", FORBIDDEN), user]),
  "slot-developer": (name) => ask(name, [said("developer", FORBIDDEN), user]),
  "slot-tool": (name) => ask(name, [user], { tools: [tool] }),
  "slot-tool-call": (name) => ask(name, [{ role: "assistant", tool_calls: [call] }, user]),
  "slot-tool-answer": (name) => ask(name, [said("tool", FORBIDDEN, { tool_call_id: "c1" }), user]),
  "slot-prediction": (name) => ask(name, [user], { prediction: { type: "content", content: FORBIDDEN } }),
  "slot-unknown": (name) => ask(name, [user], { style: "forbidden" }),
  "slot-name": (name) => ask(name, [said("user", "by night", { name: "forbidden thing" })]),
  "slot-stream": (name) => stream(name, [said("user", FORBIDDEN)]),
  "input-picture": (name) => ask(name, [said("user", [text("by night"), image("bad")])]),
  "input-second": (name) => ask(name, [said("user", [text("by night"), image("good"), image("bad")])]),
  "input-history": (name) => ask(name, [said("user", [image("bad")]), said("assistant", "ok"), user]),
  "input-assistant-images": (name) => ask(name, [said("assistant", "here", { images: [image("bad")] }), user]),
  "input-assistant-markdown": (name) => ask(name, [said("assistant", `here ![it](${dataUrl("bad")})`), user]),
  "input-tool-answer": (name) => ask(name, [said("tool", [image("bad")], { tool_call_id: "c1" }), user]),
  "input-stream": (name) => stream(name, [said("user", [text("by night"), image("bad")])]),
  "output-images": (name) => ask(name),
  "output-markdown": (name) => ask(name),
  "output-html": (name) => ask(name),
  "output-parts": (name) => ask(name),
  "output-unknown-field": (name) => ask(name),
  "output-one-of-two": (name) => ask(name, undefined, { n: 2 }),
  "address-good": (name) => ask(name),
  "stream-address-good": (name) => stream(name),
  "output-address": (name) => ask(name),
  "output-link": (name) => ask(name),
  "output-stream-address": (name) => stream(name),
  "output-stream": (name) => stream(name),
  "output-stream-markdown": (name) => stream(name),
  address: (name) => ask(name, undefined, {}, once),
  "stream-address": (name) => stream(name),
  "stream-cut": (name) => stream(name),
  "reference-file": (name) => ask(name, [said("user", [{ type: "file", file: { file_id: "file-12345678" } }])]),
  "reference-sound": (name) => ask(name, [said("user", [sound])]),
  busy: (name) => ask(name, undefined, {}, once),
  html: (name) => ask(name, undefined, {}, once),
  closed: (name) => client.completions.create({ model: name, prompt: "draw" }),
});
