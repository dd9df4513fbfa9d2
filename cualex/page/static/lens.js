// One block, large: its maps, one map of them, and one value of that map as arithmetic.

import { reads, standing } from "./caption.js";
import { cells, h, mosaic, number, palette, rem, scale } from "./maps.js";
import { about, block, each, field, hue, layer, output, signed, tower, unit } from "./network.js";
import * as server from "./server.js";
import { crop, view } from "./images.js";
import { $, now, state, tell } from "./state.js";
import { classes } from "./classes.js";
import { value } from "./value.js";

const lens = $("lens");
let asked = 0;

export const colours = (name, t) => palette(signed(name, state.off) ? "signed" : hue(name, t));

export async function show(go) {
  const one = block(state.layer), turn = ++asked, held = now();
  let filter;
  try {
    filter = await server.filter(held.network, one.name, state.map);
  } catch (error) { return tell(error); }
  if (turn !== asked || !state.layer) return;
  const focused = lens.contains(document.activeElement) && document.activeElement.dataset.keep;
  const panes = one === output ? classes(one, filter, go) : [allMaps(one, go), oneMap(one, go), value(one, filter, go)];
  lens.replaceChildren(head(one, go), h("div", { class: "panes" }, panes));
  if (focused) lens.querySelector(`[data-keep="${focused}"]`)?.focus({ preventScroll: true });
}

function head(one, go) {
  const { rows: side } = layer(one.shown), own = each(one.shown), where = layer(one.shown).towers > 1 ? " in each tower" : "";
  const size = `${own.toLocaleString("en")} ${side > 1 ? `maps of ${side}×${side}` : one === output ? "classes" : "units"}${where}`;
  return h("header", {},
    h("h2", {}, one.name), h("p", { class: "what" }, `${size}; reads ${reads(one)}. `, h("span", {}, standing(one))),
    h("button", { class: "back", onclick: () => go({ layer: null }) }, "Back to the figure ", h("kbd", {}, "Esc")));
}

function allMaps(one, go) {
  const name = state.step, maps = now().seen.layers[name], own = each(name), { towers } = layer(name);
  const wide = own > 512 ? 32 : own > 256 ? 16 : own > 128 ? 12 : own < 32 ? 4 : 8, isSigned = signed(name, state.off), shade = scale(maps.data, isSigned);
  const pane = h("div", { class: "pane maps" }, h("h3", {}, `All ${unit(one)}s`));
  const room = lens.clientWidth, space = 1.1 * rem() * (towers - 1), width = (innerWidth < 640 ? room : innerWidth < 1100 ? room * 0.46 : room * 0.27) - 2;
  const tile = Math.min((width - space) / towers / wide, (towers > 1 ? 3.4 : 4.6) * rem()), pair = h("div", { class: "pair" });
  for (let t = 0; t < towers; t++) {
    const canvas = h("canvas"), order = Array.from({ length: own }, (_, n) => t * own + n), rows = Math.ceil(own / wide);
    mosaic(canvas, maps, order, { columns: wide, tile, gap: tile < 8 ? 0 : tile > 24 ? 2 : 1, colours: colours(name, t), shade });
    Object.assign(canvas.style, { width: `${wide * tile}px`, height: `${rows * tile}px` });
    const board = h("div", { class: `board ${hue(name, t)}`, tabindex: 0, role: "application", "data-keep": `board${t}`, "aria-label": `${towers > 1 ? `Tower ${t + 1}` : "Maps"}; arrow keys choose, now ${unit(one)} ${state.map % own}` }, canvas);
    if (tower(name, state.map) === t) {
      const n = state.map - t * own, outline = h("i", { class: "chosen" });
      Object.assign(outline.style, { left: `${(n % wide) * tile}px`, top: `${Math.floor(n / wide) * tile}px`, width: `${tile}px`, height: `${tile}px` });
      board.append(outline);
    }
    board.addEventListener("click", event => {
      const box = canvas.getBoundingClientRect();
      const n = Math.floor((event.clientY - box.top) / tile) * wide + Math.min(wide - 1, Math.floor((event.clientX - box.left) / tile));
      if (n < own) go({ map: t * own + n, pixel: null });
    });
    board.addEventListener("keydown", event => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const n = (tower(name, state.map) === t ? state.map - t * own : 0) + by;
      if (n >= 0 && n < own) go({ map: t * own + n, pixel: null });
    });
    pair.append(h("figure", {}, towers > 1 ? h("figcaption", { class: `tower${t + 1}` }, `tower ${t + 1}`) : "", board));
  }
  pane.append(pair, key(shade, isSigned, colours(name, tower(name, state.map)), maps.data.some(Number.isNaN)));
  return pane;
}

function key(shade, isSigned, ramp, broken) {
  const canvas = h("canvas", { class: "ramp" }), wide = 160;
  const line = { data: new Float32Array(wide).map((_, i) => i / (wide - 1)), side: 1 };
  mosaic(canvas, line, Array.from(line.data, (_, i) => i), { columns: wide, tile: 1, tall: 8, colours: ramp, shade: part => 255 * part });
  return h("p", { class: "key" }, h("span", {}, isSigned ? number(-shade.top, 1) : "0"), canvas, h("span", {}, number(shade.top, 1)),
    h("small", {}, isSigned ? "linear scale around 0" : "square-root scale, one for the layer", broken ? "; red: NaN" : ""));
}

// An image with all but a rectangle of the crop in the dark.
function lit(canvas, rectangle, edge) {
  const pen = canvas.getContext("2d"), ratio = devicePixelRatio || 1, [top, left, bottom, right] = rectangle.map(at => (at * edge) / about.crop);
  pen.fillStyle = "rgba(10,12,15,.55)";
  pen.beginPath();
  pen.rect(0, 0, edge, edge);
  pen.rect(left, top, right - left, bottom - top);
  pen.fill("evenodd");
  for (const [colour, width] of [["#101215", 3.5], ["#fff", 1.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * ratio;
    const inside = 1.75 * ratio;
    pen.strokeRect(left + inside, top + inside, Math.max(1, right - left - 2 * inside), Math.max(1, bottom - top - 2 * inside));
  }
  return canvas;
}

function oneMap(one, go) {
  const name = state.step, maps = now().seen.layers[name], own = each(name), t = tower(name, state.map), area = maps.side ** 2, isSigned = signed(name, state.off);
  const values = maps.data.subarray(state.map * area, (state.map + 1) * area), narrow = innerWidth < 640, room = lens.clientWidth * (narrow ? 1 : innerWidth < 1100 ? 0.48 : 0.31), size = Math.min(13.2 * rem(), (room - rem()) / 2);
  const title = `${unit(one)[0].toUpperCase()}${unit(one).slice(1)} ${state.map % own}`;
  const pane = h("div", { class: "pane one" }, h("h3", {}, title, layer(name).towers > 1 ? [" of ", h("span", { class: `tower${t + 1}` }, `tower ${t + 1}`)] : ""));
  const chain = h("div", { class: "chain", role: "group", "aria-label": "Layers" });
  for (const step of one.layers) {
    const at = now().seen.layers[step], part = at.data.subarray(state.map * at.side ** 2, (state.map + 1) * at.side ** 2), canvas = h("canvas");
    cells(canvas, part, at.side, 3 * rem(), { colours: colours(step, t), shade: scale(at.data, signed(step, state.off)), digits: false });
    chain.append(h("button", { "aria-pressed": step === name, "data-keep": step, onclick: () => go({ step, pixel: null }) }, canvas, h("span", {}, step)));
  }
  pane.append(chain);
  const [row, column] = state.pixel, big = h("canvas"), cell = size / maps.side, outline = h("i", { class: "chosen" });
  cells(big, values, maps.side, size, { colours: colours(name, t), shade: scale(maps.data, isSigned) });
  Object.assign(outline.style, { left: `${column * cell}px`, top: `${row * cell}px`, width: `${cell}px`, height: `${cell}px` });
  const board = h("div", { class: "board", tabindex: 0, role: "application", "data-keep": "big", "aria-label": `${title}, row ${row}, column ${column}: ${number(values[row * maps.side + column])}` }, big, outline);
  const clip = at => Math.max(0, Math.min(maps.side - 1, at));
  const find = event => {
    const box = big.getBoundingClientRect();
    return [clip(Math.floor((event.clientY - box.top) / cell)), clip(Math.floor((event.clientX - box.left) / cell))];
  };
  const move = to => (to[0] !== state.pixel[0] || to[1] !== state.pixel[1]) && go({ pixel: to });
  board.addEventListener("pointerdown", event => move(find(event)));
  board.addEventListener("pointermove", event => event.buttons && move(find(event)));
  board.addEventListener("keydown", event => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    move([clip(row + by[0]), clip(column + by[1])]);
  });
  const edge = Math.round(size * (devicePixelRatio || 1)), seen = field(name, row, column), image = lit(crop(now().sample, edge), seen, edge);
  image.style.width = image.style.height = `${size}px`;
  const [high, wide] = [seen[2] - seen[0], seen[3] - seen[1]], whole = high === about.crop && wide === about.crop;
  pane.append(h("div", { class: "beside" },
    h("figure", {}, board, h("figcaption", {}, maps.side > 1 ? `row ${row}, column ${column}: ` : "", h("b", {}, number(values[row * maps.side + column])))),
    h("figure", {}, image, h("figcaption", {}, whole ? "it sees the whole image" : `it sees ${wide}×${high} of ${about.crop}×${about.crop} pixels`))));
  pane.append(exciting(one));
  return pane;
}

// The examples that excite a map most, with what the position sees; asked for until all examples are looked at.
export function exciting(one) {
  const box = h("div", { class: "exciting" }, h("h3", {}, "What excites it")), row = h("div", { class: "row" }), said = h("p", { class: "quiet" }, "looking at the examples …");
  box.append(row, said);
  const turn = asked, { map } = state, { network } = now(), partial = layer(one.shown).field?.[0] < about.crop;
  (async () => {
    for (;;) {
      let found;
      try {
        found = await server.excites(network, one.name, map);
      } catch (error) { return void (said.textContent = error.message); }
      const drawings = await Promise.all(found.strongest.map(thumbnail.bind(null, one)));
      if (turn !== asked) return;
      row.replaceChildren(...drawings);
      const all = `${found.of} example${found.of === 1 ? "" : "s"}`;
      said.textContent = found.done < found.of ? `${found.done} of ${all} …`
        : found.strongest.length ? `The strongest of ${all}${partial ? ", with the part that the position sees" : ""}.` : `Nothing: of ${all} none makes it positive.`;
      if (found.done >= found.of) return;
    }
  })();
  return box;
}

async function thumbnail(one, { id, row, column, value: strength }) {
  const size = Math.round(3.9 * rem() * (devicePixelRatio || 1)), canvas = crop({ view: await view(id) }, size), seen = field(one.shown, row, column);
  if (seen[2] - seen[0] < about.crop || seen[3] - seen[1] < about.crop) lit(canvas, seen, size);
  const { name } = state.examples.find(example => example.id === id);
  return h("figure", { title: `${name}: ${number(strength)}` }, canvas, h("figcaption", {}, h("span", {}, name), number(strength, 1)));
}
