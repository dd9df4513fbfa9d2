// Images: chosen, dropped, pasted or photographed. The server decodes them; the page shows them.

import { h } from "./maps.js";
import { about } from "./network.js";
import * as server from "./server.js";
import { $, now, say, slot, state } from "./state.js";

const LARGEST = 20e6; // bytes, as the server has it

function load(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("This browser cannot draw the image."));
    image.src = address;
  });
}

function square(image, size) { // the middle square, as the server takes it
  const canvas = h("canvas", { width: size, height: size }), pen = canvas.getContext("2d"), short = Math.min(image.width, image.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, (image.width - short) / 2, (image.height - short) / 2, short, short, 0, 0, size, size);
  return canvas;
}

const views = new Map(); // of examples, by id

export async function view(id) {
  if (!views.has(id)) views.set(id, square(await load(server.address(id)), 256));
  return views.get(id);
}

const OFFERED = 9; // examples that are shown as samples

export async function offer(examples) {
  const step = Math.max(1, examples.length / OFFERED);
  const chosen = examples.filter((_, at) => Math.floor(at / step) !== Math.floor((at - 1) / step)).slice(0, OFFERED);
  state.samples = await Promise.all(chosen.map(async one => ({ ...one, view: await view(one.id) })));
}

// Show an image of the user's own; a file that cannot be read leaves what is on show.
export async function own(file, choose) {
  if (!file) return;
  if (state.lacking) return say(state.lacking);
  if (file.size > LARGEST) return say(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB: images of up to 20 MB are read.`);
  try {
    const { id } = await server.addImage(file), drawn = URL.createObjectURL(file);
    // What the browser cannot draw (HEIC, TIFF) is shown as the network reads it.
    const image = await load(drawn).catch(() => load(server.address(id)));
    const sample = { id, name: file.name.replace(/\.[^.]*$/, "") || "image", view: square(image, 512), own: true };
    URL.revokeObjectURL(drawn);
    const old = state.samples.findIndex(one => one.own);
    old < 0 ? state.samples.push(sample) : state.samples.splice(old, 1, sample);
    await choose(slot(), sample);
  } catch (error) { say(error.message.replace(/^the image: /, `${file.name}: `)); }
}

// What the network reads of an image, as a canvas: the centre crop.
export function crop(sample, size) {
  const canvas = h("canvas", { width: size, height: size }), pen = canvas.getContext("2d"), { crop: wide, stored } = about, { view } = sample;
  const from = ((stored - wide) / 2 / stored) * view.width, part = (wide / stored) * view.width;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(view, from, from, part, part, 0, 0, size, size);
  return canvas;
}

export function drawImage() {
  const held = now(), canvas = $("seen"), frame = $("frame");
  if (!held) return;
  const size = Math.max(1, Math.round(frame.clientWidth * (devicePixelRatio || 1)));
  Object.assign(canvas, { width: size, height: size });
  canvas.getContext("2d").drawImage(crop(held.sample, size), 0, 0);
  $("cover").hidden = !state.cover;
  if (state.cover) {
    const { x, y, size: part } = state.cover, by = value => `${value * 100}%`;
    Object.assign($("cover").style, { left: by(x - part / 2), top: by(y - part / 2), width: by(part), height: by(part) });
  }
  frame.classList.toggle("covering", Boolean(state.cover));
  frame.classList.toggle("heating", state.heat);
}

export function drawSamples(choose) {
  $("samples").replaceChildren(...state.samples.map(sample => {
    const canvas = square(sample.view, 128);
    const letters = ["a", "b"].filter(one => state[one]?.sample === sample);
    return h("button", { "aria-pressed": letters.length > 0, title: sample.name, "aria-label": `Image: ${sample.name}`, onclick: () => choose(slot(), sample) },
      canvas, state.b && letters.length ? h("span", {}, letters.join(" ").toUpperCase()) : "");
  }), h("button", { class: "add", title: "An image of your own: choose, drop or paste it", "aria-label": "An image of your own", onclick: () => $("file").click() }, "+"),
  h("button", { class: "add camera", title: "Photograph", "aria-label": "Photograph", onclick: () => $("camera").click() }, h("i", { "aria-hidden": "true" })));
}
