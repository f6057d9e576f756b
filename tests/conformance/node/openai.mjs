// An unmodified `openai`, and what its errors say.

import OpenAI from "openai";
import { ROOT, run, versionOf } from "./driving.mjs";

export const client = new OpenAI({ baseURL: `${ROOT}/v1`, apiKey: "sk-test" });
export const once = client.withOptions({ maxRetries: 0 });

export const failed = (error) => ({
  class: error.constructor.name,
  status: error.status ?? null,
  code: error.code ?? null,
  request_id: error.requestID ?? null,
  message: error.message,
  body: error.error ?? null,
});

export const play = (scenarios) => run(versionOf("openai"), scenarios, OpenAI.APIError, failed);

// The events of a stream as `see` tells them, up to an error.
export async function streamed(stream, see, seen = []) {
  try {
    for await (const event of await stream) see(event, seen);
  } catch (error) {
    // One that is refused before it begins is raised like any other.
    if (!(error instanceof OpenAI.APIError) || error.status) throw error;
    return { events: seen, error: failed(error) };
  }
  return { events: seen };
}
