// static/server.js of a tour: the same questions, answered from the file itself. tour.py writes what is read here.

export class NoAnswer extends Error {}

const text = id => document.getElementById(id).textContent;
const tour = JSON.parse(text("tour"));
const TYPES = { f4: Float32Array, i1: Int8Array, i2: Int16Array, u1: Uint8Array, u2: Uint16Array };

const bytes = (() => {
  const found = atob(text("arrays")), made = new Uint8Array(found.length);
  for (let at = 0; at < made.length; at++) made[at] = found.charCodeAt(at);
  document.getElementById("arrays").remove();
  return made.buffer;
})();

function array(name) {
  const [type, start, count] = tour.arrays[name];
  return new TYPES[type](bytes, start, count);
}

// The worker that computes; none where the file holds no network.
const worker = tour.lacking ? null : new Worker(URL.createObjectURL(new Blob([text("engine")], { type: "text/javascript" })));
const waiting = new Map();
let last = 0;

function compute(what, asked) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, what, asked });
  });
}

if (worker) {
  worker.onmessage = ({ data: { id, answer, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    error ? reject(new NoAnswer(error)) : resolve(answer);
  };
  const arrays = Object.fromEntries(tour.tensors.map(name => [name, array(name)]));
  compute("open", { description: { ...tour.networks[0], offset: tour.offset, scale: tour.scale }, arrays });
}

const own = new Map(); // pixels of the user's images, by id

const pixels = image => own.get(image)?.pixels ?? array(`${image}.pixels`);
const lacking = () => { throw new NoAnswer(tour.lacking); };

export const enter = () => {};
export const networks = async () => tour;
export const run = async () => ({ run: null, stamp: "" });
export const forget = () => {};
export const address = id => own.get(id)?.address ?? `data:image/png;base64,${tour.examples.find(one => one.id === id).png}`;

// Take an image of the user's own: the browser decodes and resizes it, so its pixels differ a little from cualex's.
export async function addImage(file) {
  if (!worker) lacking();
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    throw new NoAnswer(`${file.name} is no image that this browser can draw.`);
  }
  const { stored } = tour.networks[0], short = Math.min(image.width, image.height), canvas = Object.assign(document.createElement("canvas"), { width: stored, height: stored });
  const pen = canvas.getContext("2d"), id = `own${own.size}`;
  Object.assign(pen, { fillStyle: "#fff", imageSmoothingQuality: "high" });
  pen.fillRect(0, 0, stored, stored);
  pen.drawImage(image, (image.width - short) / 2, (image.height - short) / 2, short, short, 0, 0, stored, stored);
  own.set(id, { pixels: pen.getImageData(0, 0, stored, stored).data.filter((_, at) => at % 4 < 3), address: canvas.toDataURL() });
  return { id };
}

export async function see({ image, layers, off, cover }) {
  if (worker) return compute("see", { pixels: pixels(image), layers, off, cover });
  if (off.length || cover) lacking();
  const { probabilities, passed } = tour.answers[image];
  return { probabilities, passed, layers: Object.fromEntries(layers.map(name => [name, stored(image, name)])) };
}

function stored(image, name) { // maps of 8 bits: `middle` is 0, and 1 is worth `step`
  const { maps, rows: side } = tour.networks[0].layers[name], values = array(`${image}.${name}`), scale = tour.answers[image].scales[name];
  return { maps, side, data: scale ? Float32Array.from(values, value => (value - scale.middle) * scale.step) : values };
}

export async function name({ image, off, cover = null }) {
  if (worker) return (await compute("names", { pixels: pixels(image), off, covers: [cover] }))[0];
  return tour.answers[image].without[off.join()] ?? lacking();
}

export async function filter(network, block, map) { // null: the file has none of this layer
  if (worker) return compute("filter", { block, map });
  if (!tour.arrays[`${block}.weight`]) return null;
  const weight = array(`${block}.weight`), bias = array(`${block}.bias`), size = weight.length / bias.length;
  return { bias: bias[map], weight: weight.subarray(map * size, (map + 1) * size) };
}

export async function excites(network, block, map) {
  const { shown } = tour.networks[0].blocks.find(one => one.name === block), { columns } = tour.networks[0].layers[shown];
  const found = tour.examples.map(({ id }) => ({ id, value: array(`${id}.${shown}.most`)[map], at: array(`${id}.${shown}.where`)[map] }))
    .filter(one => one.value > 0).sort((a, b) => b.value - a.value).slice(0, tour.strongest);
  return { done: tour.examples.length, of: tour.examples.length, strongest: found.map(({ at, ...one }) => ({ ...one, row: Math.floor(at / columns), column: at % columns })) };
}

// Rows of a heat map: by covering as seeing.py has it; others, and those of a file without the network, from the file.
export async function* heatRows(question, signal) {
  const { image, off, class: target, method } = question, { crop, classes } = tour.networks[0], { grid } = tour, side = Math.max(1, Math.round(tour.cover * crop));
  const example = tour.examples.find(one => one.id === image);
  if (!worker || method !== "occlusion") {
    if (!example) throw new NoAnswer("Of an image of your own this file has the heat map by covering alone.");
    if (off.length || example.likeliest !== target) throw new NoAnswer(`This file has this heat map of the whole network and of ${classes[example.likeliest]} alone.`);
    if (method === "occlusion") return yield* tour.answers[image].heat;
    const values = array(`${image}.${method}`);
    for (let row = 0; row < crop; row++) yield Array.from(values.subarray(row * crop, (row + 1) * crop), value => value / 255);
    return;
  }
  const edges = Array.from({ length: grid }, (_, at) => Math.round(((crop - 1) * (at + 0.5)) / grid - side / 2));
  const asked = { pixels: pixels(image), off }, [[...whole]] = await compute("names", { ...asked, covers: [null] });
  for (const top of edges) {
    if (signal.aborted) return;
    const said = await compute("names", { ...asked, covers: edges.map(left => [top, left, side]) });
    yield said.map(covered => whole[target] - covered[target]);
  }
}
