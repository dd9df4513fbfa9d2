// One value of a map, worked out with the numbers that it is made of, and the files that compute it.

import { cells, colourFilter, h, mosaic, number, palette, rem, scale } from "./maps.js";
import { about, dense, each, layer, signed, terms, tower, unit } from "./network.js";
import { colours } from "./lens.js";
import { now, state } from "./state.js";

export const formula = (...parts) => h("p", { class: "formula" }, ...parts);
const sup = text => h("sup", {}, text);

export const small = (values, side, size, ramp, shade) => {
  const canvas = h("canvas");
  cells(canvas, values, side, size, { colours: ramp, shade });
  return canvas;
};

const at = (maps, map, i, j) => maps.data[(map * maps.side + i) * maps.side + j];

export function files(...names) {
  const found = [...new Set(names.flatMap(name => about.files[name] ?? []))];
  return h("p", { class: "files" }, "Computed by ", found.map((file, n) => [n ? ", " : "", h("code", {}, file)]));
}

export function value(one, filter, go) {
  const name = state.step, kind = layer(name).kind, index = one.layers.indexOf(name), before = one.layers[index - 1] ?? one.below;
  const pane = h("div", { class: "pane sum" }, h("h3", {}, "One value, worked out"));
  // The activation right after the filters is worked out with them: y = max(0, z), z = b + Σ w · x.
  const product = index === 0 || (index === 1 && ["relu", "activation"].includes(kind));
  pane.append(...(product && !filter ? [h("p", {}, state.lacking)] : product ? sum(one, filter, name, kind) : /lrn$/.test(kind) ? norm(name, before, kind, go) : /pool$/.test(kind) ? pool(name, before, kind) : plain(name, before, kind)));
  const t = tower(name, state.map);
  if (state.off[`tower${t + 1}`] && layer(name).towers > 1) pane.append(h("p", { class: "quiet" }, `Tower ${t + 1} is switched off: what it sends counts as 0.`));
  pane.append(files(...(product ? new Set([one.name, name]) : [name])));
  return pane;
}

function pool(name, before, kind) {
  const { size, stride, pad = 0 } = layer(name).numbers, earlier = now().seen.layers[before], [row, column] = state.pixel, list = [];
  for (let u = 0; u < size; u++) for (let v = 0; v < size; v++) {
    const [i, j] = [row * stride + u - pad, column * stride + v - pad], inside = i >= 0 && j >= 0 && i < earlier.side && j < earlier.side;
    list.push(inside ? at(earlier, state.map, i, j) : undefined); // beyond the end: not a part of the window
  }
  const isMax = kind === "maxpool", inside = list.filter(x => x !== undefined), y = isMax ? Math.max(...inside) : inside.reduce((a, b) => a + b) / inside.length;
  return [
    formula(`y = ${isMax ? "max" : "mean"} of ${size} × ${size}`),
    h("div", { class: "term" }, small(Float32Array.from(list, x => x || 0), size, 7.5 * rem(), colours(before, tower(before, state.map)), scale(earlier.data, signed(before, state.off))), h("span", {}, isMax ? "the largest is" : "the mean is"), h("b", { class: "result" }, number(y))),
    h("p", { class: "quiet" }, size > stride ? `Windows of ${size} move on by ${stride}: they overlap, as in the paper.` : `Windows of ${size} move on by ${stride}.`),
  ];
}

function norm(name, before, kind, go) {
  const { n, k, alpha, beta } = layer(name).numbers, earlier = now().seen.layers[before], own = each(name), t = tower(name, state.map), [row, column] = state.pixel;
  const x = at(earlier, state.map, row, column), reach = Math.floor(n / 2), list = [], strip = h("div", { class: "neighbours" });
  const across = kind === "lrn", first = Math.max(state.map - reach, t * own), stop = Math.min(state.map + reach, (t + 1) * own - 1);
  if (across) for (let j = first; j <= stop; j++) list.push(at(earlier, j, row, column));
  else for (let i = Math.max(0, row - reach); i <= Math.min(earlier.side - 1, row + reach); i++)
    for (let j = Math.max(0, column - reach); j <= Math.min(earlier.side - 1, column + reach); j++) list.push(at(earlier, state.map, i, j));
  const total = list.reduce((a, b) => a + b * b, 0), gone = state.off.norm, y = x / (k + (gone ? 0 : alpha * total)) ** beta, size = 4.2 * rem(), area = earlier.side ** 2, cell = size / earlier.side;
  if (across) for (let j = first; j <= stop; j++) {
    const dot = h("i", { class: "chosen" });
    Object.assign(dot.style, { left: `${column * cell}px`, top: `${row * cell}px`, width: `${cell}px`, height: `${cell}px` });
    const canvas = h("canvas");
    cells(canvas, earlier.data.subarray(j * area, (j + 1) * area), earlier.side, size, { colours: colours(before, t), shade: scale(earlier.data, signed(before, state.off)), digits: false });
    strip.append(h("button", { "aria-current": j === state.map, title: `map ${j % own}`, onclick: () => go({ map: j }) }, canvas, dot, h("span", {}, number(at(earlier, j, row, column), 1))));
  }
  const where = across ? `The same position in maps ${first % own} to ${stop % own}${layer(name).towers > 1 ? ` of tower ${t + 1}; the other tower is not read` : ""}.` : `The ${n}×${n} positions around it, in the same map.`;
  return [
    formula(`y = x / (${k} + ${plainly(alpha)} · Σ x²)`, sup(beta)), h("p", {}, gone ? "Switched off: the sum counts as 0, the constant stays." : where), strip,
    h("p", { class: "line" }, `${number(x)} / (${k} + ${plainly(alpha)} × ${number(gone ? 0 : total, 0)})`, sup(beta), " = ", h("b", { class: "result" }, number(y))),
  ];
}

const plainly = number_ => String(+number_.toPrecision(3));

// Any other layer: what it reads, and what it makes of it.
function plain(name, before, kind) {
  const [row, column] = state.pixel, x = at(now().seen.layers[before], state.map, row, column), y = at(now().seen.layers[name], state.map, row, column);
  const text = { relu: "y = max(0, x)", activation: `y = ${layer(name).formula}`, batchnorm: "y = γ · (x − mean) / √(variance + ε) + β", grey: "y = 0.299 red + 0.587 green + 0.114 blue" }[kind] ?? `y = ${kind}(x)`;
  return [formula(state.off.activation && ["relu", "activation"].includes(kind) ? "y = x (switched off)" : text), h("p", { class: "line" }, `${number(x)} → `, h("b", { class: "result" }, number(y)))];
}

function sum(one, filter, name, kind) {
  const { seen } = now(), [row, column] = state.pixel, y = at(seen.layers[name], state.map, row, column), { list, size } = terms(one, seen, filter, state.map, row, column, state.off);
  const sources = layer(one.below).towers, sums = Array(sources).fill(0);
  for (const term of list) sums[term.from ?? 0] += term.sum;
  const z = filter.bias + sums.reduce((a, b) => a + b, 0), edge = Math.min(4.7 * rem(), (document.getElementById("lens").clientWidth - 12.5 * rem()) / 3), patch = size > 1;
  const activated = name !== one.name, gone = state.off.activation, rule = { relu: "max(0, z)", activation: (layer(name).formula || "").replace(/\bx\b/g, "z") }[kind];
  const readout = h("p", { class: "readout quiet" }, "Point at a cell for its product.");
  const read = one.reads === "image" && list.length === 3 ? "3 colours" : `${list.length.toLocaleString("en")} ${patch ? `maps of ${one.below}` : "values"}`;
  const lead = h("div", { class: "lead" }, h("div", {}, formula(activated ? `y = ${gone ? "z" : rule},  z = b + Σ w · x` : "z = b + Σ w · x"),
    h("p", {}, `The sum runs over ${read}${patch ? ` × ${size} × ${size}` : ""}: ${(list.length * size * size).toLocaleString("en")} products${one.factor === 1 ? "" : `, each x times ${+one.factor.toFixed(3)} for dropout`}.`)),
  patch ? itsFilter(one, filter, size) : "");
  const room = patch ? (one.reads === "image" || innerHeight < 58 * rem() ? 3 : innerHeight < 66 * rem() ? 4 : 5) : 8;
  const most = [...list].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum)).slice(0, room);
  const table = patch ? patches(one, filter, most, size, edge, readout) : products(one, most);
  const shown = most.reduce((all, term) => all + term.sum, 0), rest = list.length - most.length, total = h("dl", { class: "total" });
  if (one.reads === "all") sums.forEach((part, t) => add(total, `all from tower ${t + 1}`, part, `tower${t + 1}`));
  else {
    add(total, one.reads === "image" && list.length === 3 ? "the three colours" : `these ${most.length}`, shown);
    if (rest) add(total, `the other ${rest.toLocaleString("en")}`, sums.reduce((a, b) => a + b, 0) - shown);
  }
  add(total, "bias", filter.bias);
  equation(total, "=", "z", z, "", "end");
  if (activated) equation(total, "→", gone ? "switched off" : rule, gone ? z : kind === "relu" ? Math.max(0, z) : y, "", "end");
  return [lead, table, patch ? readout : "", total];
}

const COLOURS = ["red", "green", "blue"];

function label(one, term) {
  if (term.from == null) return h("span", { class: "from" }, layer(one.below).maps === 3 ? COLOURS[term.map] : "grey");
  return h("span", { class: `from ${layer(one.below).towers > 1 ? `tower${term.from + 1}` : ""}` }, `${layer(one.below).rows > 1 ? "map" : "unit"} ${term.map % each(one.below)}`);
}

export function products(one, most) {
  return h("div", { class: "terms plain" }, most.flatMap(term => [label(one, term), h("span", {}, `${number(term.x[0])} × ${number(term.w[0], 4)}`), h("b", {}, number(term.sum, 3))]));
}

function patches(one, filter, most, size, edge, readout) {
  const weights = scale(filter.weight, true), all = scale(Float32Array.from(most.flatMap(term => [...term.product])), true), isSigned = signed(one.below, state.off), inputs = scale(now().seen.layers[one.below].data, isSigned);
  const table = h("div", { class: "terms" }, ["", "it sees", "", "weights", "", "products", "sum"].map(word => h("span", { class: "word" }, word)));
  for (const term of most) {
    const three = [small(term.x, size, edge, colours(one.below, term.from ?? 0), inputs), small(term.w, size, edge, palette("signed"), weights), small(term.product, size, edge, palette("signed"), all)];
    for (const canvas of three) canvas.addEventListener("pointermove", event => {
      const [i, j] = [event.offsetY, event.offsetX].map(offset => Math.max(0, Math.min(size - 1, Math.floor((offset / edge) * size)))), n = i * size + j;
      readout.textContent = `row ${i}, column ${j}: ${number(term.x[n])} × ${number(term.w[n], 4)} = ${number(term.product[n], 3)}`;
    });
    table.append(label(one, term), three[0], h("span", {}, "×"), three[1], h("span", {}, "="), three[2], h("b", {}, number(term.sum)));
  }
  return table;
}

// The whole filter: in colour where it reads the image, else a square of weights for each map that it reads.
function itsFilter(one, filter, size) {
  const count = filter.weight.length / size ** 2, tall = 4.4 * rem(), row = h("div", { class: "kernels" }), parts = one.reads === "all" ? layer(one.below).towers : 1;
  if (one.reads === "image" && count === 3) {
    const canvas = h("canvas");
    colourFilter(canvas, filter.weight, size, tall);
    row.append(canvas);
  } else for (let part = 0; part < parts; part++) {
    const own = count / parts, rows = Math.max(1, Math.round(Math.sqrt(own * (parts > 1 ? 1.4 : 0.8)))), columns = Math.ceil(own / rows), tile = tall / rows, canvas = h("canvas");
    mosaic(canvas, { data: filter.weight, side: size }, Array.from({ length: own }, (_, n) => part * own + n), { columns, tile, gap: 1, colours: palette("signed"), shade: scale(filter.weight, true) });
    Object.assign(canvas.style, { width: `${columns * tile}px`, height: `${tall}px` });
    canvas.className = parts > 1 ? `from${part + 1}` : "";
    row.append(canvas);
  }
  return h("figure", { class: "filter" }, row, h("figcaption", {}, `its ${dense(one) ? "weights" : "filter"}, ${count > 1 ? `${count} × ` : ""}${size}×${size}`));
}

export const add = (list, name, amount, cls) => equation(list, list.children.length ? "+" : "", name, amount, cls);

export function equation(list, sign, name, amount, cls = "", end = "") {
  if (sign) list.append(h("span", { "aria-hidden": "true" }, sign));
  list.append(h("div", { class: end }, h("dt", { class: cls }, name), h("dd", {}, number(amount))));
}
