// Drives an unmodified `@google/genai` through every scenario and prints, as JSON, what it saw: node gemini.mjs PORT
// FOLDER. The model's name tells the scripted generator which scenario this is.

import { ApiError, GoogleGenAI } from "@google/genai";
import { FORBIDDEN, ROOT, base64, dataUrl, digest, path, run, versionOf } from "./driving.mjs";

const client = new GoogleGenAI({ apiKey: "key-test", httpOptions: { baseUrl: ROOT } });
const image = (name) => ({ inlineData: { data: base64(name), mimeType: "image/png" } });
const said = (role, ...parts) => ({ role, parts: parts.map((one) => (typeof one === "string" ? { text: one } : one)) });

function told(answer) {
  const parts = (one) => one.content?.parts ?? [];
  return {
    candidates: (answer.candidates ?? []).map((one) => ({
      reason: one.finishReason ?? null,
      texts: parts(one).flatMap((part) => (part.text ? [part.text] : [])),
      pictures: parts(one).flatMap((part) => (part.inlineData ? [digest(part.inlineData.data)] : [])),
    })),
    blocked: answer.promptFeedback?.blockReason ?? null,
    id: answer.responseId ?? null,
  };
}

const ask = async (model, contents = "a red bicycle", config = undefined) =>
  told(await client.models.generateContent({ model, contents, config }));

async function stream(model, contents = "a red bicycle") {
  const chunks = [];
  try {
    for await (const one of await client.models.generateContentStream({ model, contents })) chunks.push(told(one));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { chunks, error: failed(error) };
  }
  return { chunks };
}

// A picture posted in one turn, an answer with a picture, and an edit asked for in the next.
async function chat(model) {
  const talk = client.chats.create({ model });
  const first = await talk.sendMessage({ message: ["my aunt", image("good")] });
  return { turns: [told(first), told(await talk.sendMessage({ message: "now by night" }))] };
}

// A picture that goes up by itself, and an edit of it by its address.
async function upload(model, picture = "good") {
  const file = await client.files.upload({ file: path(picture), config: { mimeType: "image/png" } });
  return ask(model, [{ fileData: { fileUri: file.uri, mimeType: "image/png" } }, "by night"]);
}

// The message of an error is the body of the answer.
function failed(error) {
  const body = JSON.parse(error.message.slice(error.message.indexOf("{")));
  return { class: error.constructor.name, code: error.status, status: body.error.status, message: body.error.message };
}

const post = (url, body) =>
  client.apiClient.request({ path: url, body: JSON.stringify(body), httpMethod: "POST", queryParams: {} });
const declared = { functionDeclarations: [{ name: "ask", description: `draws ${FORBIDDEN} in oil` }] };
const answered = { functionResponse: { name: "ask", response: { said: { deep: [FORBIDDEN] } } } };
const called = { functionCall: { name: "ask", args: { deep: [FORBIDDEN] } } };
const bucket = { fileData: { fileUri: "gs://bucket/a.png", mimeType: "image/png" } };
const open = [{ category: "HARM_CATEGORY_SEXUALLY_EXPLICIT", threshold: "BLOCK_NONE" }];
const schema = { type: "STRING", description: FORBIDDEN };

const scenarios = {
  generate: (name) => ask(name),
  "generate-async": (name) => ask(name, ["a red bicycle", image("good")]),
  edit: (name) => ask(name, ["make it autumn", image("good")]),
  "two-candidates": (name) => ask(name, undefined, { candidateCount: 2 }),
  switches: (name) => ask(name, undefined, { safetySettings: open }),
  chat,
  stream: (name) => stream(name),
  "vendor-block": (name) => ask(name),
  "words-only": (name) => ask(name),
  "slot-text": (name) => ask(name, FORBIDDEN),
  "slot-second-part": (name) => ask(name, ["a red bicycle", FORBIDDEN]),
  "slot-history": (name) => ask(name, [said("user", FORBIDDEN), said("model", "done"), said("user", "again")]),
  "slot-model-turn": (name) => ask(name, [said("user", "hello"), said("model", FORBIDDEN), said("user", "yes")]),
  "slot-system": (name) => ask(name, undefined, { systemInstruction: FORBIDDEN }),
  "slot-tool": (name) => ask(name, undefined, { tools: [declared] }),
  "slot-tool-answer": (name) => ask(name, [said("user", "hello"), said("user", answered)]),
  "slot-call": (name) => ask(name, [said("user", "hello"), said("model", called), said("user", "go on")]),
  "slot-schema": (name) =>
    ask(name, undefined, { responseMimeType: "application/json", responseSchema: schema }),
  "slot-stop": (name) => ask(name, undefined, { stopSequences: [FORBIDDEN] }),
  "slot-across-turns": (name) => ask(name, [said("user", "forbid"), said("model", "what?"), said("user", "den")]),
  "slot-stream": (name) => stream(name, FORBIDDEN),
  "input-text-beside": (name) => ask(name, ["make it autumn", image("bad")]),
  "input-second": (name) => ask(name, ["make it autumn", image("good"), image("bad")]),
  "input-history": (name) => ask(name, [said("user", image("bad")), said("model", "ok"), said("user", "by night")]),
  "input-model-turn": (name) =>
    ask(name, [said("user", "hello"), said("model", image("bad")), said("user", "by night")]),
  "input-system": (name) => ask(name, undefined, { systemInstruction: said("user", "like this", image("bad")) }),
  "input-words": (name) => ask(name, `like ![it](${dataUrl("bad")}) please`),
  "input-stream": (name) => stream(name, [image("bad"), "by night"]),
  "output-refused": (name) => ask(name),
  "output-thought": (name) => ask(name),
  "output-markdown": (name) => ask(name),
  "output-unknown-field": (name) => ask(name),
  "output-one-of-two": (name) => ask(name, undefined, { candidateCount: 2 }),
  "output-stream": (name) => stream(name),
  "output-stream-markdown": (name) => stream(name),
  "stream-cut": (name) => stream(name),
  "reference-file": (name) => ask(name, [bucket, "by night"]),
  "reference-cache": (name) => ask(name, undefined, { cachedContent: "cachedContents/abc" }),
  busy: (name) => ask(name),
  html: (name) => ask(name),
  address: (name) => ask(name),
  upload: (name) => upload(name),
  "input-upload": (name) => upload(name, "bad"),
  imagen: (name) => post(`models/${name}:predict`, { instances: [{ prompt: "a bicycle" }] }),
  interactions: (name) => post("interactions", { model: name, input: "a bicycle" }),
};
await run(versionOf("@google/genai"), scenarios, ApiError, failed);
