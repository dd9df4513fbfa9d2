// A run: its curves and first filters, again whenever it has saved new weights.

import { headline } from "./caption.js";
import { colourFilter, h, number, rem } from "./maps.js";
import { blocks, layer } from "./network.js";
import * as server from "./server.js";
import { $, state, tell } from "./state.js";

const EVERY = 3000; // milliseconds between two questions, while the run is training

let page;

export function start(functions) {
  page = functions;
  $("run").hidden = !state.run;
  if (!state.run) return;
  plot();
  if (state.run.training) setTimeout(ask, EVERY);
}

async function ask() {
  try {
    const { run, stamp } = await server.run(), news = stamp !== state.stamp;
    state.run = run;
    if (news) {
      await page.load();
      for (const held of [state.a, state.b]) if (held) Object.assign(held, { plain: null, alone: null });
      await page.look();
    }
    headline();
    plot(news);
  } catch { /* the server may be back the next time */ }
  if (state.run.training) setTimeout(ask, EVERY);
}

const svg = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

// One curve over the epochs, from 0 or its least value up, with its last value written at the end.
function curve(name, values, epochs, colour, share = false) {
  const wide = 240, high = 64, finite = values.filter(Number.isFinite), most = Math.max(...finite, 1e-9), least = share ? 0 : Math.min(0, ...finite), last = values.at(-1);
  const at = (value, n) => [(wide * n) / Math.max(1, epochs - 1), high - 4 - ((high - 8) * (value - least)) / ((share ? 1 : most) - least)];
  const points = values.map(at).filter((_, n) => Number.isFinite(values[n])), plot = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": `${name}, by epoch: ${values.map(value => number(value)).join(", ")}` });
  plot.append(svg("line", { x1: 0, x2: wide, y1: high - 4, y2: high - 4, class: "axis" }),
    svg("polyline", { points: points.map(pair => pair.join()).join(" "), class: colour }), svg("circle", { cx: points.at(-1)[0], cy: points.at(-1)[1], r: 2.5, class: colour }));
  return h("figure", {}, h("figcaption", {}, `${name} `, h("b", {}, share && Number.isFinite(last) ? `${(100 * last).toFixed(1)} %` : number(last))), plot);
}

let turn = 0;

export async function plot(news = true) {
  if (!state.run) return;
  const { epochs, planned } = state.run, box = $("curves");
  if (!epochs.length) box.replaceChildren(h("p", { class: "quiet" }, "No epoch is done yet."));
  else box.replaceChildren(...[["training loss", "loss", "soft"], ["validation loss", "val_loss", "ink"], ["validation top-1", "top1", "ink", true]]
    .filter(([, key]) => epochs.some(epoch => Number.isFinite(epoch[key])))
    .map(([name, key, colour, share]) => curve(name, epochs.map(epoch => epoch[key] ?? NaN), Math.max(planned ?? 0, epochs.length), colour, share)));
  const one = blocks[0];
  if (!news || !one.window || layer(one.below).maps !== 3) return;
  const own = ++turn, count = Math.min(layer(one.name).maps, 96), filters = [];
  try {
    for (let map = 0; map < count && own === turn; map++) filters.push(await server.filter(0, one.name, map));
  } catch (error) { return tell(error); }
  if (own !== turn) return;
  $("filters").replaceChildren(...filters.map(filter => {
    const canvas = h("canvas");
    colourFilter(canvas, filter.weight, one.window[0], 2 * rem());
    return canvas;
  }));
  $("filters").setAttribute("aria-label", `The ${count} filters of ${one.name}`);
}
