// Occlusion: a cover that the pointer moves, and a heat map of all its positions.

import { h } from "./maps.js";
import { about, layer } from "./network.js";
import * as server from "./server.js";
import { drawImage } from "./images.js";
import { $, best, now, off, say, state, tell } from "./state.js";

let look, draw; // of app.js: ask the network again; draw again

export function wire(asking, drawing) {
  [look, draw] = [asking, drawing];
  const frame = $("frame");
  const move = event => {
    const box = frame.getBoundingClientRect();
    shift((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  frame.addEventListener("pointerdown", event => state.cover && (frame.setPointerCapture(event.pointerId), move(event)));
  frame.addEventListener("pointermove", event => state.cover && (event.buttons || event.pointerType === "mouse") && move(event));
  $("covering").addEventListener("click", () => covering());
  $("heating").addEventListener("click", () => heat(!state.heat));
}

export function covering(on = !state.cover) {
  if (state.lacking) return say(state.lacking);
  state.cover = on ? { x: 0.5, y: 0.5, size: state.coverSize } : null;
  $("covering").setAttribute("aria-pressed", on);
  drawImage();
  look();
}

function shift(x, y) {
  const clip = value => Math.max(0, Math.min(1, value));
  Object.assign(state.cover, { x: clip(x), y: clip(y) });
  drawImage();
  look();
}

export const nudge = ([down, right]) => shift(state.cover.x + right / 28, state.cover.y + down / 28);

export function resize(by) {
  if (!state.cover) return;
  state.cover.size = Math.max(0.06, Math.min(0.6, state.cover.size * by));
  drawImage();
  look();
}

const METHODS = { // names, and what a heat map shows of a class
  occlusion: { name: "Covering" },
  "grad-cam": { name: "Grad-CAM", says: name => `where the maps of ${about.last_maps}, ${layer(about.last_maps).rows}×${layer(about.last_maps).columns}, speak for ${name}` },
  saliency: { name: "Saliency", says: name => `pixels that the score of ${name} depends on most` },
};

let asking = null;

// What matters for a class, row by row as the server computes it: with occlusion how much it loses where it is covered.
export async function heat(on = state.heat) {
  asking?.abort();
  state.heat = on;
  $("heating").setAttribute("aria-pressed", on);
  $("heat").hidden = $("heat-key").hidden = !on;
  $("methods").hidden = !on || state.methods.length < 2;
  if (!$("methods").children.length) $("methods").append(...state.methods.map(method =>
    h("button", { "data-method": method, onclick: () => (state.method = method, heat()) }, METHODS[method].name)));
  for (const button of $("methods").children) button.setAttribute("aria-pressed", button.dataset.method === state.method);
  const held = now(), rows = [], asked = on && held?.plain;
  if (asked) {
    if (state.target == null || state.target < 0) state.target = best(held.plain.probabilities);
    if (state.target < 0) return void (say("There is no heat map: no class has a probability."), heat(false));
    drawHeat(rows); // its key takes room, so the figure is arranged after it
  }
  drawImage();
  draw();
  if (!asked) return;
  asking = new AbortController();
  const { signal } = asking;
  try {
    for await (const row of server.heatRows({ network: held.network, image: held.sample.id, off: off(), class: state.target, method: state.method }, signal)) {
      if (signal.aborted) return;
      rows.push(row);
      if (!METHODS[state.method].says || rows.length === row.length) drawHeat(rows); // gradients have all rows at once
    }
    draw();
  } catch (error) { if (!signal.aborted) tell(error); }
}

function drawHeat(rows) {
  const grid = rows[0]?.length ?? state.grid, canvas = $("heat"), tiny = h("canvas", { width: grid, height: grid }), pen = tiny.getContext("2d"), image = pen.createImageData(grid, grid);
  const drops = rows.flat().map(value => value || 0), most = drops.reduce((a, b) => Math.max(a, Math.abs(b)), 0.02);
  drops.forEach((value, at) => image.data.set([...(value > 0 ? [40, 200, 105] : [178, 92, 235]), 225 * (Math.abs(value) / most) ** 0.8], 4 * at));
  pen.putImageData(image, 0, 0);
  Object.assign(canvas, { width: 280, height: 280 });
  const to = canvas.getContext("2d");
  to.imageSmoothingQuality = "high";
  to.drawImage(tiny, 0, 0, 280, 280);
  const up = Math.max(0, ...drops), down = -Math.min(0, ...drops), name = about.classes[state.target];
  $("heat-key").replaceChildren(...(METHODS[state.method].says ? [h("i", { class: "for" }), METHODS[state.method].says(name)] : rows.length < grid
    ? [`${Math.round((100 * rows.length) / grid)} % of the positions`]
    : [h("i", { class: "for" }), `covering takes up to ${Math.round(100 * up)} points from ${name}`, h("br"), h("i", { class: "against" }), `or adds up to ${Math.round(100 * down)}`]));
}
