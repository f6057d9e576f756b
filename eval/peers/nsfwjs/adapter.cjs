// nsfwjs in Node, on TensorFlow.js' WebAssembly back end: porn plus hentai. The protocol is that of ../stdio.py.
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);
console.log = console.info = console.warn = console.error;
const { createRequire } = require("module");
const path = require("path");
const { pathToFileURL } = require("url");
const from = createRequire(process.cwd() + "/"); // packages lie in the peer's own folder, where this is started
const tf = from("@tensorflow/tfjs");
const wasm = from("@tensorflow/tfjs-backend-wasm");
const { PNG } = from("pngjs");

async function opened() {
  // The back end in JavaScript takes twenty times as long for the same scores (to five digits).
  wasm.setWasmPaths(path.dirname(from.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep);
  wasm.setThreadsCount(1);
  if (!(await tf.setBackend("wasm"))) throw new Error("TensorFlow.js has no WebAssembly here");
  await tf.ready();
  // The package's CommonJS build copies its weights a letter at a time, which takes ten seconds; its modules do not.
  const modules = path.join(path.dirname(from.resolve("nsfwjs")), "..", "esm", "index.js");
  return (await import(pathToFileURL(modules))).load("MobileNetV2Mid");
}

async function main() {
  const lines = require("readline").createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  await lines.next(); // options: there are none
  const model = await opened();
  write(JSON.stringify({ models: ["nsfwjs@4.4.0"], scores: ["nsfw"] }) + "\n");
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    const asked = JSON.parse(next.value);
    try {
      const png = PNG.sync.read(Buffer.from(asked.image, "base64"));
      const rgb = new Uint8Array(png.width * png.height * 3);
      for (let i = 0, j = 0; i < png.data.length; i += 4) {
        rgb[j++] = png.data[i];
        rgb[j++] = png.data[i + 1];
        rgb[j++] = png.data[i + 2];
      }
      const pixels = tf.tensor3d(rgb, [png.height, png.width, 3], "int32");
      const said = Object.fromEntries((await model.classify(pixels, 5)).map((one) => [one.className, one.probability]));
      pixels.dispose();
      write(JSON.stringify({ id: asked.id, scores: { nsfw: Math.min(1, said.Porn + said.Hentai) } }) + "\n");
    } catch (error) {
      write(JSON.stringify({ id: asked.id, error: error.name }) + "\n");
    }
  }
}
main();
