// The figure: the image, one lane of maps a tower with the links between them, the classes.

import { h, mosaic, palette, percent, rem, scale } from "./maps.js";
import { about, dense, each, hidden, hue, layer, output, signed, towers, unit } from "./network.js";
import { $, best } from "./state.js";

const svg = $("links"), holder = $("blocks");
const LINES = 5; // of a bundle between two lanes
const NARROW = 960; // pixels, below which the figure runs downwards

export const columns = []; // a canvas and button for each block and tower
let labels = [], layout;

// How many rows a block of maps has: the block is about `target` units wide and `lane` high, with few empty cells.
function rowsFor(maps, target, lane) {
  let found = 1, least = Infinity;
  for (let rows = 1; rows <= maps; rows++) {
    const across = Math.ceil(maps / rows), width = (across * lane) / rows;
    const cost = (2 * (across * rows - maps)) / maps + Math.abs(width - target) / target;
    if (cost < least) [found, least] = [rows, cost];
  }
  return found;
}

export function build({ open, point, leave }) {
  holder.replaceChildren();
  columns.length = 0;
  labels = [];
  const lane = towers > 1 ? 16 : 26;
  for (const one of hidden) {
    const { maps, rows: side } = layer(one.shown), own = each(one.shown), lanes = layer(one.shown).towers;
    const rows = rowsFor(own, dense(one) ? 4 : 5, lane);
    Object.assign(one, { grid: [rows, Math.ceil(own / rows)], units: (lane / rows) * Math.ceil(own / rows), lanes, maps, side });
    for (let t = 0; t < lanes; t++) {
      const canvas = h("canvas"), button = h("button", { class: `block ${hue(one.shown, t)}`, "data-stage": one.name }, canvas);
      const column = { block: one, tower: t, button, canvas };
      const find = event => {
        const box = button.getBoundingClientRect(), [high, wide] = innerWidth < NARROW ? [...one.grid].reverse() : one.grid;
        const clip = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value * count)));
        const c = clip((event.clientX - box.left) / box.width, wide), r = clip((event.clientY - box.top) / box.height, high);
        return t * own + Math.min(own - 1, r * wide + c);
      };
      button.addEventListener("pointermove", event => event.pointerType === "mouse" && point(column, find(event), event));
      button.addEventListener("pointerleave", leave);
      button.addEventListener("focus", () => point(column, null));
      button.addEventListener("blur", leave);
      button.addEventListener("click", event => open(one, event.detail ? find(event) : null, t));
      columns.push(column);
      holder.append(button);
    }
    const [size, stride] = one.window ?? [];
    const crosses = (hidden[one.at + 1] ?? output).crosses;
    labels.push({
      name: h("p", { class: "name" }, h("b", {}, one.name), h("span", { class: "size" }, side > 1 ? `${own} · ${side}×${side}` : String(own))),
      made: h("p", { class: "made" }, size ? `${size}×${size}` : "dense", stride > 1 ? h("br") : "", stride > 1 ? `stride ${stride}` : "", one.groups > 1 ? h("br") : "", one.groups > 1 ? `${one.groups} groups` : ""),
      after: h("p", { class: "after", title: crosses ? `Each tower sends ${crosses.toLocaleString("en")} floats of an image to the other.` : null },
        one.after.map(word => h("span", {}, word)), crosses ? h("small", {}, crosses.toLocaleString("en")) : ""),
    });
    holder.append(labels.at(-1).name, labels.at(-1).made, labels.at(-1).after);
  }
  if (towers > 1) for (let t = 1; t <= towers; t++) holder.append(h("p", { class: `lane tower${t}` }, `tower ${t}`));
  layout = null;
}

// The space before each block, as a weight: wide where all lanes cross, narrow where a lane reads itself.
const gaps = () => [1.7, ...hidden.slice(1).map(one => (one.reads === "all" ? 2.3 : one.after.length ? 1.2 : 1.1)), 1.7];

// Put everything in its place. A block's area says how many maps it has.
export function arrange(level) {
  const figure = $("figure"), width = figure.clientWidth, tall = innerWidth < NARROW;
  const set = (element, x, y, w, high) => Object.assign(element.style, {
    left: `${x}px`, top: `${y}px`, width: w == null ? "" : `${w}px`, height: high == null ? "" : `${high}px`,
  });
  figure.dataset.way = tall ? "down" : "across";
  layout = { tall, boxes: new Map(), image: null, classes: null };
  (tall ? down : across)(figure, width, set, level === "lens" && !tall);
  for (const column of columns) {
    column.box = layout.boxes.get(column.block)[column.tower];
    set(column.button, column.box.x, column.box.y, column.box.w, column.box.h);
  }
}

function down(figure, width, set) {
  const middle = towers > 1 ? 1.5 * rem() : 0, wide = (width - middle * (towers - 1)) / towers, gap = 2.1 * rem(), weights = gaps();
  const side = Math.min(width * 0.62, 15 * rem());
  set($("image"), 0, 0, width);
  $("frame").style.width = `${side}px`;
  let y = $("image").offsetHeight + gap * 1.2 + 1.4 * rem();
  layout.image = { x: $("frame").offsetLeft, y: $("frame").offsetTop, w: side, h: side };
  hidden.forEach((one, at) => {
    const high = Math.min((one.units * wide) / (towers > 1 ? 16 : 26), 1.2 * wide), left = (width - wide) / 2;
    layout.boxes.set(one, Array.from({ length: one.lanes }, (_, t) => ({ x: one.lanes === towers ? t * (wide + middle) : left, y, w: wide, h: high })));
    set(labels[at].name, 0, y - 1.4 * rem());
    y += high + gap * (weights[at + 1] > 2 ? 1.7 : 1) + 1.4 * rem();
    set(labels[at].after, 0, y - 1.4 * rem(), width);
  });
  set($("classes"), 0, y, width);
  layout.classes = { x: 0, y: y - 1.5 * rem(), w: width, h: 0 };
  figure.style.height = `${y + $("classes").offsetHeight}px`;
}

function across(figure, width, set, small) {
  const weights = gaps(), sum = weights.reduce((a, b) => a + b), total = hidden.reduce((all, one) => all + one.units, 0);
  const share = small ? 0.105 : 0.175, lanes = towers > 1 ? 16 : 26;
  const left = Math.max(small ? 120 : 168, Math.min(width * share, 27 * rem())), right = Math.max(190, Math.min(width * 0.17, 25 * rem()));
  const inner = width - left - right, over = (small ? 2.6 : 3.1) * rem(), under = (small ? 0.4 : 4.5) * rem();
  const middle = towers > 1 ? (small ? 0.9 : 3) * rem() : 0, between = middle * (towers - 1);
  const room = small ? 13 * rem() : Math.max(360, innerHeight - figure.getBoundingClientRect().top - scrollY - $("under").offsetHeight - 2.2 * rem());
  const unit = Math.min((inner - sum * 1.35 * rem()) / total, (room - over - under - between) / (lanes * towers));
  const gap = Math.min((inner - total * unit) / sum, 9 * rem()), lane = lanes * unit, high = over + under + between + towers * lane;
  let x = left + (inner - total * unit - sum * gap) / 2; // a short network stands in the middle
  hidden.forEach((one, at) => {
    x += weights[at] * gap;
    const w = one.units * unit, alone = over + (towers * lane + between - lane) / 2;
    layout.boxes.set(one, Array.from({ length: one.lanes }, (_, t) => ({ x, y: one.lanes === towers ? over + t * (lane + middle) : alone, w, h: lane })));
    const bottom = over + towers * lane + between + 0.45 * rem();
    set(labels[at].name, x + w / 2, over - 0.45 * rem());
    set(labels[at].made, x + w / 2, bottom);
    set(labels[at].after, x + w + (weights[at + 1] * gap) / 2, bottom);
    x += w;
  });
  const centre = over + (towers * lane + between) / 2;
  $("frame").style.width = `${left}px`;
  const rest = $("image").offsetHeight - $("frame").offsetHeight;
  set($("image"), 0, Math.max(0, small ? centre - left / 2 : Math.min(centre - left / 2, high - left - rest)), left);
  layout.image = { x: 0, y: $("image").offsetTop, w: left, h: left };
  set($("classes"), width - right, 0, right);
  const rows = [...$("classes").querySelectorAll(".bar")].filter(row => row.offsetParent), top = Math.max(0, centre - $("classes").offsetHeight / 2);
  set($("classes"), width - right, top, right);
  layout.classes = { x: width - right - 0.5 * rem(), rows: rows.map(row => top + row.offsetTop + row.offsetHeight / 2) };
  figure.style.height = `${high}px`;
  const [first] = layout.boxes.get(hidden[0]) ?? [];
  if (first) holder.querySelectorAll(".lane").forEach((element, t) => set(element, first.x - 0.5 * rem(), over + t * (lane + middle) + lane / 2));
}

const curve = (x1, y1, x2, y2, tall) => tall
  ? `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`
  : `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;

// Links where they are, and nowhere else. A line is as strong as what passes along it: the mean of |partial sums|.
export function link(seen, off) {
  const { boxes, image, classes, tall } = layout, lines = [], thick = rem() / 16;
  const bundle = (from, to, kind, at, weight, count = LINES) => {
    for (let n = 0; n < count; n++) {
      const share = (n + 0.5) / count;
      const [a, b] = tall
        ? [[from.x + from.w * share, from.y + from.h], [to.x + to.w * share, to.y]]
        : [[from.x + from.w, from.y + from.h * share], [to.x, to.rows ? to.rows[n] : to.y + to.h * share]];
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      const set = { class: kind, "data-at": at, pathLength: 100, d: curve(...a, ...b, tall), "stroke-width": (thick * (0.5 + 1.1 * weight)).toFixed(2), opacity: (0.16 + 0.5 * weight).toFixed(2) };
      for (const [name, value] of Object.entries(set)) path.setAttribute(name, value);
      lines.push(path);
    }
  };
  const strength = value => (Number.isFinite(value) ? value : 0);
  const gone = (count, t) => count > 1 && off[`tower${t + 1}`];
  hidden.forEach((one, at) => {
    const before = hidden[at - 1], passed = seen.passed[one.name].map(row => row.map(strength)), most = Math.max(...passed.flat(), 1e-9);
    boxes.get(one).forEach((box, to) => {
      if (gone(one.lanes, to)) return;
      if (!before) return bundle(image, box, "enter", 0, 0.75);
      boxes.get(before).forEach((source, from) => {
        const crossing = from !== to && before.lanes > 1;
        if (gone(before.lanes, from) || (crossing && one.lanes > 1 && (one.reads !== "all" || off.exchange))) return;
        bundle(source, box, `${hue(before.shown, from)}${crossing ? " cross" : ""}`, at, passed[to][from] / most);
      });
    });
  });
  const last = hidden.at(-1), sums = seen.passed[output.name][0].map(strength), most = Math.max(...sums, 1e-9);
  if (last) boxes.get(last).forEach((box, t) => {
    if (!gone(last.lanes, t)) bundle(box, classes, hue(last.shown, t), hidden.length, (sums[t] ?? 0) / most, tall ? LINES : classes.rows.length);
  });
  svg.replaceChildren(...lines);
}

// A pulse that runs through the network once.
export function pulse() {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const made = [...svg.children].map(path => {
    const dot = path.cloneNode();
    dot.classList.add("pulse");
    dot.removeAttribute("opacity");
    dot.style.animationDelay = `${path.dataset.at * 130}ms`;
    return dot;
  });
  svg.append(...made);
  setTimeout(() => made.forEach(dot => dot.remove()), 2200);
  columns.forEach(column => column.canvas.animate([{ opacity: 0.12 }, { opacity: 1 }],
    { duration: 420, delay: 180 + column.block.at * 130, fill: "backwards", easing: "ease-out" }));
}

// Draw the maps. Shades are those of the network with everything on, so that a change is seen.
export function paint(seen, plain, other, off) {
  for (const { block: one, tower, canvas, button, box } of columns) {
    const maps = seen.layers[one.shown], own = each(one.shown), area = maps.side ** 2;
    const order = Array.from({ length: own }, (_, n) => tower * own + n);
    const [high, wide] = layout.tall ? [...one.grid].reverse() : one.grid, isSigned = Boolean(other) || signed(one.shown, off);
    const tile = box.w / wide, tall = box.h / high;
    const shown = other ? { ...maps, data: maps.data.map((value, at) => value - other.layers[one.shown].data[at]) } : maps;
    mosaic(canvas, shown, order, {
      columns: wide, tile, tall, gap: tile < 6 ? 0 : tile > 44 ? 3 : tile > 15 ? 2 : 1,
      shade: scale(other ? shown.data : plain.layers[one.shown].data, isSigned),
      colours: palette(isSigned ? "signed" : hue(one.shown, tower)),
    });
    button.classList.toggle("off", Boolean(one.lanes > 1 && off[`tower${tower + 1}`]));
    const most = shown.data.subarray(tower * own * area, (tower + 1) * own * area).reduce((a, b) => Math.max(a, b), -Infinity);
    button.setAttribute("aria-label", `${one.name}${one.lanes > 1 ? `, tower ${tower + 1}` : ""}: ${own} ${unit(one)}s${maps.side > 1 ? ` of ${maps.side} by ${maps.side}` : ""}, strongest ${most.toFixed(1)}`);
  }
}

// The classes: a bar each, with a tick where it was with everything on, and a second bar for a second image or network.
export function bars(order, said, { before, second, target, choose }) {
  const box = $("classes"), { classes } = about;
  if (box.dataset.order !== order.join()) {
    box.dataset.order = order.join();
    box.replaceChildren(h("p", { class: "verdict" }), h("p", { class: "doubt" }), ...order.map(k =>
      h("button", { class: "bar", "data-class": k, title: classes[k], onclick: () => choose(k) },
        h("span", { class: "class" }, classes[k]),
        h("span", { class: "track" }, h("i", { class: "fill" }), h("i", { class: "fill second" }), h("i", { class: "tick" })),
        h("span", { class: "share" }))),
      classes.length > order.length ? h("p", { class: "quiet" }, `the likeliest ${order.length} of ${classes.length.toLocaleString("en")}`) : "");
  }
  const first = best(said), [verdict, doubt] = box.children, was = before && best(before);
  verdict.textContent = classes[first] ?? "no answer";
  verdict.classList.toggle("long", verdict.textContent.length > 11);
  $("short").replaceChildren(...order.slice(0, 3).map(k => h("span", { class: k === first ? "best" : "" }, `${classes[k]} ${percent(said[k])}`)));
  doubt.textContent = (first < 0 ? "probabilities are NaN" : percent(said[first])) + (before && was !== first ? `, was ${classes[was] ?? "none"}` : "");
  const wide = share => `${(share || 0) * 100}%`; // a style of NaN would leave the bar as it was
  for (const row of box.querySelectorAll(".bar")) {
    const k = +row.dataset.class, [, track, share] = row.children, [fill, other, tick] = track.children;
    fill.style.width = wide(said[k]);
    other.style.width = wide(second?.[k]);
    tick.style.left = before ? wide(before[k]) : "";
    tick.hidden = !before;
    row.classList.toggle("two", Boolean(second));
    row.classList.toggle("best", k === first);
    row.classList.toggle("target", k === target);
    share.textContent = percent(said[k]);
    row.setAttribute("aria-label", `${classes[k]} ${percent(said[k])}`);
  }
}

export function mark(name) {
  for (const { block: one, button } of columns) {
    button.classList.toggle("marked", one.name === name);
    button.setAttribute("aria-pressed", one.name === name);
  }
  document.body.classList.toggle("marking", Boolean(name));
}
