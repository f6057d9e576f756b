// What the scripts beside this one share: the pictures, and a run of every scenario that prints what was seen as JSON.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const [PORT, FOLDER] = process.argv.slice(2);
export const ROOT = `http://127.0.0.1:${PORT}`;
export const FORBIDDEN = "something forbidden";

export const path = (name) => join(FOLDER, `${name}.png`);
export const picture = (name) => readFileSync(path(name));
export const base64 = (name) => picture(name).toString("base64");
export const dataUrl = (name) => `data:image/png;base64,${base64(name)}`;
export const digest = (encoded) =>
  encoded ? createHash("sha256").update(Buffer.from(encoded, "base64")).digest("hex") : null;

export const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;

// `told` makes plain data of an error that the client raises on purpose; any other error ends the run.
export async function run(version, scenarios, raised, told) {
  const results = {};
  for (const [name, play] of Object.entries(scenarios)) {
    try {
      results[name] = await play(name);
    } catch (error) {
      if (!(error instanceof raised)) throw error;
      results[name] = { error: told(error) };
    }
  }
  console.log(JSON.stringify({ version, results }));
}
