// Drives an unmodified `@fal-ai/client` through every scenario and prints, as JSON, what it saw: node fal.mjs PORT FOLDER.
// It goes through the guard as through any proxy of fal. A header tells the scripted generator which scenario this is.

import { createHash } from "node:crypto";
import { ApiError, createFalClient } from "@fal-ai/client";
import { FORBIDDEN, ROOT, dataUrl, run, versionOf } from "./driving.mjs";

const APP = "fal-ai/flux/dev";
const HOSTED = "https://v3.fal.media/files";

const clientOf = (name) =>
  createFalClient({
    credentials: "id:s3cret",
    proxyUrl: { url: `${ROOT}/proxy`, when: "always" },
    requestMiddleware: async (request) => ({ ...request, headers: { ...request.headers, "x-scenario": name } }),
  });

// What is behind an address of an answer, without any credential.
async function got(url) {
  const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
  return { sha256: createHash("sha256").update(bytes).digest("hex"), at: url.startsWith("data:") ? "data" : new URL(url).origin };
}

async function told(data) {
  const images = data.images ?? (data.image ? [data.image] : []);
  return { images: await Promise.all(images.map((one) => got(one.url))), nsfw: data.has_nsfw_concepts ?? null };
}

const given = (more) => ({ prompt: "a red bicycle", ...more });
const ask = (more) => async (name) => told((await clientOf(name).run(APP, { input: given(more) })).data);
const subscribe = (more) => async (name) =>
  told((await clientOf(name).subscribe(APP, { input: given(more), pollInterval: 20 })).data);
const stream = (more) => async (name) => {
  const events = [];
  const said = await clientOf(name).stream(APP, { input: given(more) });
  const done = said.done();
  done.catch(() => {}); // raised below
  for await (const event of said) {
    events.push({ images: await Promise.all((event.images ?? []).map((one) => got(one.url))), detail: event.detail ?? null });
  }
  await done;
  return { events };
};

async function queued(name) {
  const { queue } = clientOf(name);
  const { request_id: requestId } = await queue.submit(APP, { input: given() });
  const seen = [];
  while (seen.at(-1) !== "COMPLETED") seen.push((await queue.status(APP, { requestId, logs: true })).status);
  return { seen, ...(await told((await queue.result(APP, { requestId })).data)) };
}

async function cancelled(name) {
  const { queue } = clientOf(name);
  const { request_id: requestId } = await queue.submit(APP, { input: given() });
  await queue.cancel(APP, { requestId });
  return { id: requestId };
}

const unknown = async (name) =>
  told((await clientOf(name).queue.result(APP, { requestId: "00000000-0000-4000-8000-000000000000" })).data);

const failed = (error) => ({
  class: error.constructor.name,
  status: error.status,
  detail: error.body?.detail ?? null,
  type: error.body?.detail?.[0]?.type ?? null,
});

const scenarios = {
  run: ask(),
  "run-two": ask({ num_images: 2 }),
  "run-data-url": ask({ sync_mode: true }),
  "run-one": ask(),
  "run-edit": ask({ image_url: dataUrl("good"), mask_url: dataUrl("other") }),
  "run-address": ask({ image_urls: [`${HOSTED}/good.png`] }),
  subscribe: subscribe(),
  queued,
  cancelled,
  stream: stream(),
  "stream-address": stream(),
  "switched-off": ask({ enable_safety_checker: false, safety_tolerance: "6" }),
  "word-prompt": ask({ prompt: FORBIDDEN }),
  "word-negative": ask({ negative_prompt: FORBIDDEN }),
  "word-unknown": ask({ style: "forbidden" }),
  "word-nested": ask({ shots: [{ text: FORBIDDEN }] }),
  "word-queue": subscribe({ prompt: FORBIDDEN }),
  "word-stream": stream({ prompt: FORBIDDEN }),
  "picture-image": ask({ image_url: dataUrl("bad") }),
  "picture-second": ask({ image_urls: [dataUrl("good"), dataUrl("bad")] }),
  "picture-mask": ask({ image_url: dataUrl("good"), mask_url: dataUrl("bad") }),
  "picture-nested": ask({ controlnets: [{ control: dataUrl("bad") }] }),
  "picture-address": ask({ image_url: `${HOSTED}/bad.png` }),
  "picture-queue": subscribe({ image_url: dataUrl("bad") }),
  "picture-stream": stream({ image_url: dataUrl("bad") }),
  output: ask(),
  "output-data-url": ask({ sync_mode: true }),
  "output-one": ask(),
  "output-queue": subscribe(),
  "output-one-of-two": ask({ num_images: 2 }),
  "output-stream": stream(),
  "output-stream-address": stream(),
  lora: ask({ loras: [{ path: "https://weights.example/somebody.safetensors", scale: 1 }] }),
  "no-picture": ask({ image_url: `${HOSTED}/page` }),
  unknown,
  invalid: ask(),
};
await run(versionOf("@fal-ai/client"), scenarios, ApiError, failed);
