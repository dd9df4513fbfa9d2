// What the page shows now. Every module reads it; app.js, images.js and cover.js change it.

import { NoAnswer } from "./server.js";

export const $ = id => document.getElementById(id);

export const state = {
  networks: [], // as the server describes them
  grid: 14, cover: null, // positions of a heat map along each side; the cover {x, y, size} in fractions of the crop
  coverSize: 0.24,
  samples: [], // images that can be chosen: {id, name, view}
  a: null, b: null, // what is compared: {sample, network, plain, seen, changed, alone}
  showing: "a", // or "b", or "difference"
  off: {}, // parts that are switched off
  layer: null, step: null, map: 0, pixel: [0, 0], // the block in the lens, its layer, map and position
  heat: false, target: null, order: null, method: "occlusion", methods: ["occlusion"], // of heat maps
  kept: "", lacking: "", // of a tour: what its file holds; why it computes nothing, where it holds no network
};

export const slot = () => (state.showing === "b" ? "b" : "a");
export const now = () => state[slot()];
export const off = () => Object.keys(state.off).filter(part => state.off[part]);

// The likeliest class; -1 where every probability is NaN, as of a network that has diverged.
export const best = said => said.reduce((found, value, k) => (value > (said[found] ?? -Infinity) ? k : found), -1);

export function say(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
  clearTimeout(say.timer);
  if (text) say.timer = setTimeout(() => say(""), 8000);
}

// Show why the server gave no answer; what is no such error is a fault of the page and goes to the console.
export function tell(error) {
  if (!(error instanceof NoAnswer)) throw error;
  say(error.message);
}

// The cover in pixels of the crop: [top, left, side].
export function box(crop) {
  const { x, y, size } = state.cover;
  return [Math.round(y * crop - (size * crop) / 2), Math.round(x * crop - (size * crop) / 2), Math.round(size * crop)];
}

export function strongest(layer, from = 0, count = layer.maps) {
  const area = layer.side ** 2;
  let most = -Infinity, found = from;
  for (let p = from * area; p < (from + count) * area; p++) if (layer.data[p] > most) [most, found] = [layer.data[p], Math.floor(p / area)];
  return found;
}

export function peak(layer, map) {
  const area = layer.side ** 2, part = layer.data.subarray(map * area, (map + 1) * area);
  let at = 0;
  part.forEach((value, p) => { if (value > part[at]) at = p; });
  return [Math.floor(at / layer.side), at % layer.side];
}
