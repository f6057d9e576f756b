// Drives an unmodified `openai` through the Images API and prints, as JSON, what it saw: node images.mjs PORT FOLDER.
// The model's name tells the scripted generator which scenario this is.

import { createReadStream } from "node:fs";
import { FORBIDDEN, dataUrl, digest, path } from "./driving.mjs";
import { client, once, play, streamed } from "./openai.mjs";

const file = (name) => createReadStream(path(name));
const whole = (answer) => ({
  entries: answer.data.map((one) => ({ sha256: digest(one.b64_json), error: one.error ?? null })),
});
const see = (event, seen) => seen.push({ type: event.type, sha256: digest(event.b64_json) });

const generate = async (model, more = {}, using = client) =>
  whole(await using.images.generate({ model, prompt: "a red bicycle", ...more }));
const edit = async (model, images, more = {}) =>
  whole(
    await client.images.edit({
      model,
      prompt: "make it autumn",
      image: images.length > 1 ? images.map(file) : file(images[0]),
      ...more,
    }),
  );
const variation = async (model, name) => whole(await client.images.createVariation({ model, image: file(name), n: 1 }));
const stream = (model, prompt = "a red bicycle") =>
  streamed(client.images.generate({ model, prompt, stream: true, partial_images: 2 }), see);
const editStream = (model, prompt = "autumn", name = "good") =>
  streamed(client.images.edit({ model, prompt, image: file(name), stream: true, partial_images: 1 }), see);
const jsonEdit = async (model, fields = {}) =>
  whole(
    await client.post("/images/edits", {
      body: { model, prompt: "make it winter", images: [{ image_url: dataUrl("good") }], ...fields },
    }),
  );
const headers = async (model) => {
  const { response } = await client.images.generate({ model, prompt: "a red bicycle" }).withResponse();
  return { headers: Object.fromEntries(response.headers) };
};

await play({
  generate: (name) => generate(name, { n: 2 }),
  "generate-async": (name) => generate(name, { n: 2 }),
  "generate-headers": headers,
  "edit-one": (name) => edit(name, ["good"]),
  "edit-several": (name) => edit(name, ["good", "other"]),
  "edit-mask": (name) => edit(name, ["good"], { mask: file("mask") }),
  variation: (name) => variation(name, "good"),
  stream: (name) => stream(name),
  "edit-stream": (name) => editStream(name),
  models: async () => ({ models: (await client.models.list()).data.map((one) => one.id) }),
  "json-edit": (name) => jsonEdit(name),
  switches: (name) => generate(name, { moderation: "low", disable_safety_checker: true }),
  "slot-prompt": (name) => generate(name, { prompt: FORBIDDEN }),
  "slot-stream": (name) => stream(name, FORBIDDEN),
  "slot-edit": (name) => edit(name, ["good"], { prompt: FORBIDDEN }),
  "slot-edit-stream": (name) => editStream(name, FORBIDDEN),
  "slot-json-edit": (name) => jsonEdit(name, { prompt: FORBIDDEN }),
  "slot-negative": (name) => generate(name, { negative_prompt: FORBIDDEN }),
  "slot-unknown": (name) => generate(name, { style: "forbidden" }),
  "slot-unknown-of-form": (name) => edit(name, ["good"], { style: "forbidden" }),
  "slot-deep": (name) => generate(name, { provider: { options: [{ suffix_prompt: FORBIDDEN }] } }),
  "input-edit": (name) => edit(name, ["bad"]),
  "input-second": (name) => edit(name, ["good", "bad"]),
  "input-mask": (name) => edit(name, ["good"], { mask: file("bad") }),
  "input-variation": (name) => variation(name, "bad"),
  "input-edit-stream": (name) => editStream(name, "autumn", "bad"),
  "input-json-edit": (name) => jsonEdit(name, { images: [{ image_url: dataUrl("bad") }] }),
  "input-json-mask": (name) => jsonEdit(name, { mask: { image_url: dataUrl("bad") } }),
  "input-file": (name) => jsonEdit(name, { images: [{ file_id: "file-abc123bad" }] }),
  "input-markup": (name) => jsonEdit(name, { markup: [{ image_url: dataUrl("bad") }] }),
  "input-unknown": (name) => generate(name, { reference: dataUrl("bad") }),
  "output-refused": (name) => generate(name),
  "output-edit": (name) => edit(name, ["good"]),
  "output-variation": (name) => variation(name, "good"),
  "output-data-url": (name) => generate(name),
  "output-unknown-field": (name) => generate(name),
  "output-one-of-two": (name) => generate(name, { n: 2 }),
  "output-stream-partial": (name) => stream(name),
  "output-stream-last": (name) => stream(name),
  "output-edit-stream": (name) => editStream(name),
  "stream-cut": (name) => stream(name),
  busy: (name) => generate(name, {}, once),
  html: (name) => generate(name, {}, once),
  closed: (name) => client.chat.completions.create({ model: name, messages: [{ role: "user", content: "draw" }] }),
});
