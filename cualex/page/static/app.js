// The page: asks the network, draws the answer, and goes where the user goes.

import { caption, headline, short } from "./caption.js";
import * as cover from "./cover.js";
import * as figure from "./figure.js";
import * as images from "./images.js";
import * as lens from "./lens.js";
import * as live from "./live.js";
import { h, mosaic, number, palette, rem, scale, theme } from "./maps.js";
import { about, block, blockOf, blocks, drawn, each, field, hidden, hue, needed, output, signed, take, tower, towers } from "./network.js";
import * as server from "./server.js";
import { $, best, box, now, off, peak, say, slot, state, strongest, tell } from "./state.js";

let walking, busy = false, again = null;

// Asking the network --------------------------------------------------------------------------------------------------

const question = (held, layers, more = {}) => ({ network: held.network, image: held.sample.id, layers, off: [], cover: null, ...more });
const missing = (held, names) => names.filter(name => !held?.layers[name]);
const wanted = () => [...new Set([...drawn(), ...(state.layer ? needed(block(state.layer)) : [])])];

async function more(held, key, change) { // layers that an answer lacks, since they are needed only now
  const names = missing(held[key], wanted());
  if (names.length) Object.assign(held[key].layers, (await server.see(question(held, names, change))).layers);
}

// Ask for what is on show. While an answer is under way, further calls are folded into one: the newest wins.
export async function look(fresh = false) {
  if (busy) return void (again = { fresh: fresh || Boolean(again?.fresh) });
  busy = true;
  document.body.dataset.state = "busy";
  try {
    for (const which of ["a", "b"]) {
      const held = state[which];
      if (!held) continue;
      held.plain ??= await server.see(question(held, drawn()));
      const change = { off: off(), cover: state.cover && which === slot() ? box(about.crop) : null };
      held.changed = Boolean(change.off.length || change.cover);
      const seen = held.changed ? await server.see(question(held, wanted(), change)) : held.plain;
      Object.assign(held, { seen, change });
      await more(held, "seen", change);
    }
    draw(fresh);
    document.body.dataset.state = "ready";
    if (fresh && !state.layer) alone().catch(tell); // nobody waits for it
  } catch (error) { // what was on show stays
    tell(error);
  } finally {
    document.body.dataset.state = now()?.seen ? "ready" : "error";
    busy = false;
  }
  if (again) {
    const { fresh: how } = again;
    again = null;
    await look(how);
  }
}

// What each tower says when the others are off: for the caption.
async function alone() {
  const held = now();
  if (towers < 2 || held.alone) return;
  const found = [];
  for (let t = 1; t <= towers; t++) {
    const others = Array.from({ length: towers }, (_, n) => `tower${n + 1}`).filter(part => part !== `tower${t}`);
    const said = await server.name({ network: held.network, image: held.sample.id, off: others });
    found.push(said);
  }
  held.alone = found;
  if (!walking) caption();
}

export async function choose(which, sample, network = state[which]?.network ?? 0) {
  state[which] = { sample, network };
  state.target = null;
  take(state.networks[now().network]);
  images.drawSamples(choose);
  images.drawImage();
  await look(true);
  if (state.heat) cover.heat();
}

// Drawing -------------------------------------------------------------------------------------------------------------

export function draw(fresh = false) {
  const held = now();
  if (!held?.seen || missing(held.seen, wanted()).length) return;
  const said = held.seen.probabilities, whole = held.plain.probabilities, other = state.b && (held === state.a ? state.b : state.a);
  if (!state.order || fresh) state.order = [...about.classes.keys()].sort((x, y) => (whole[y] || 0) - (whole[x] || 0)).slice(0, 10);
  state.target ??= best(whole);
  figure.bars(state.order, said, {
    before: held.changed ? whole : null, second: other?.seen?.probabilities, target: state.heat ? state.target : null,
    choose: k => (state.heat ? (state.target = k, cover.heat()) : go({ layer: output.name, map: k, step: output.name })),
  });
  figure.arrange(state.layer ? "lens" : "figure");
  figure.paint(held.seen, held.plain, state.showing === "difference" ? state.b?.seen : null, state.off);
  figure.link(held.seen, state.off);
  figure.mark(state.layer);
  if (!walking) caption();
  images.drawImage();
  if (fresh) figure.pulse();
  if (state.layer) lens.show(go);
}

// Going somewhere -----------------------------------------------------------------------------------------------------

export async function go(change) {
  const before = state.layer, held = now();
  Object.assign(state, change);
  if (state.layer) {
    const one = block(state.layer);
    if (missing(held.seen, wanted()).length) {
      await more(held, "seen", held.change).catch(tell);
      if (state.layer !== one.name || missing(held.seen, wanted()).length) return; // gone elsewhere meanwhile, or no answer
    }
    const { layers } = held.seen;
    if (!one.layers.includes(state.step)) state.step = one === output ? one.name : one.shown;
    if (state.map == null || (change.layer && change.map == null)) state.map = strongest(layers[one.shown]);
    const side = layers[state.step].side;
    if (!state.pixel || state.pixel.some(value => value >= side)) state.pixel = peak(layers[state.step], state.map);
  }
  document.body.dataset.level = state.layer ? "lens" : "figure";
  $("lens").hidden = !state.layer;
  history.replaceState(null, "", state.layer ? `#${state.step}.${state.map}` : location.pathname);
  if (before === state.layer) return void (state.layer && lens.show(go));
  hideLoupe();
  draw();
  if (!state.layer) figure.columns.find(column => column.block.name === before)?.button.focus({ preventScroll: true });
  else if (innerWidth < 960) $("lens").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function open(one, map, t) {
  const own = each(one.shown);
  return go({ layer: one.name, step: one.shown, map: map ?? strongest(now().seen.layers[one.shown], t * own, own), pixel: null });
}

function point(column, map, event) {
  if (!now()?.seen) return;
  const one = column.block, maps = now().seen.layers[one.shown], isSigned = signed(one.shown, state.off);
  caption(one);
  if (map == null || !maps) return;
  const loupe = $("loupe"), canvas = loupe.firstElementChild, area = maps.side ** 2, size = maps.side > 1 ? 9 : 3, values = maps.data.subarray(map * area, (map + 1) * area);
  mosaic(canvas, maps, [map], { columns: 1, tile: size * rem(), colours: palette(isSigned ? "signed" : hue(one.shown, column.tower)), shade: scale(maps.data, isSigned) });
  canvas.style.width = canvas.style.height = `${size}rem`;
  const by = field(one.shown, ...peak(maps, map)).map(value => `${(value / about.crop) * 100}%`);
  Object.assign($("field").style, { top: by[0], left: by[1], bottom: `calc(100% - ${by[2]})`, right: `calc(100% - ${by[3]})` });
  $("field").hidden = maps.side === 1;
  loupe.lastElementChild.textContent = short(one, map, number(Math.max(...values), 1));
  loupe.hidden = false;
  const right = event.clientX + (size + 4) * rem() > innerWidth;
  Object.assign(loupe.style, { left: right ? "" : `${event.clientX + 1.2 * rem()}px`, right: right ? `${innerWidth - event.clientX + 1.2 * rem()}px` : "", top: `${Math.min(event.clientY + 0.8 * rem(), innerHeight - (size + 4) * rem())}px` });
}

function hideLoupe() {
  $("loupe").hidden = $("field").hidden = true;
  if (now()?.seen && !walking) caption();
}

function toggle(part) {
  if (!(part in about.parts)) return;
  state.off[part] = !state.off[part];
  document.querySelector(`[data-off=${part}]`).setAttribute("aria-pressed", !state.off[part]);
  look();
  if (state.heat) cover.heat();
}

// Comparing, walking through ------------------------------------------------------------------------------------------

async function compare(on = !state.b) {
  $("compare").setAttribute("aria-pressed", on);
  $("showing").hidden = !on;
  if (!on) {
    state.b = null;
    showing("a");
    images.drawSamples(choose);
    return look();
  }
  const second = state.networks.length > 1; // two networks on one image, or one network on two
  const sample = second ? state.a.sample : state.samples.find(one => one !== state.a.sample) ?? state.a.sample;
  await choose("b", sample, second ? 1 : 0);
  showing("a");
}

function showing(which) {
  if (which !== "a" && !state.b) return;
  state.showing = which;
  for (const button of document.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", button.dataset.show === which);
  take(state.networks[now().network]);
  images.drawImage();
  if (missing(now().seen, wanted()).length) look();
  else draw();
  if (state.heat) cover.heat();
}

function walk(on = !walking) {
  clearInterval(walking);
  walking = null;
  document.body.classList.toggle("walking", on);
  $("play").textContent = on ? "Stop" : "Walk through";
  if (!on) return void (figure.mark(state.layer), caption());
  if (state.layer) go({ layer: null });
  let at = 0;
  const next = () => {
    if (at === blocks.length) return walk(false);
    figure.mark(blocks[at].name);
    caption(blocks[at++]);
  };
  walking = setInterval(next, 2600);
  figure.pulse();
  next();
}

function retheme() {
  document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
  draw();
  live.plot();
}

// Keys ----------------------------------------------------------------------------------------------------------------

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || event.target.matches("input")) return;
  const arrow = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (arrow) {
    event.preventDefault();
    if (state.cover && event.target === $("frame")) return cover.nudge(arrow);
    return step(arrow);
  }
  const done = {
    Escape: () => (walking ? walk(false) : go({ layer: null })), o: () => cover.covering(), h: () => cover.heat(!state.heat), c: () => compare(), b: () => showing(state.showing === "a" ? "b" : "a"),
    x: () => toggle("exchange"), n: () => toggle("norm"), r: () => toggle("activation"), t: retheme, "?": () => $("help").showModal(), a: () => $("file").click(),
    "+": () => cover.resize(1.2), "-": () => cover.resize(1 / 1.2), " ": () => !event.target.matches("button") && (event.preventDefault(), walk()),
  }[event.key] ?? (/^[1-9]$/.test(event.key) ? () => toggle(`tower${event.key}`) : null);
  done?.();
}

function step([down, right]) { // to the block before or after, to the other tower
  const focused = figure.columns.findIndex(column => column.button === document.activeElement);
  const from = state.layer ? { at: block(state.layer).at, t: state.layer === output.name ? 0 : tower(state.layer, state.map) }
    : focused < 0 ? null : { at: figure.columns[focused].block.at, t: figure.columns[focused].tower };
  if (!hidden.length) return;
  const at = from ? Math.max(0, Math.min((state.layer ? blocks : hidden).length - 1, from.at + right)) : 0;
  if (at === blocks.length - 1) return go({ layer: output.name, map: null, step: output.name });
  const next = hidden[at], t = from ? Math.max(0, Math.min(next.lanes - 1, from.t + down)) : 0;
  if (state.layer) return open(next, null, t);
  figure.columns.find(column => column.block === next && column.tower === t).button.focus();
}

function wire() {
  addEventListener("keydown", key);
  addEventListener("waiting", () => say("Busy: trying again …"));
  let late;
  addEventListener("resize", () => (clearTimeout(late), late = setTimeout(() => (draw(), live.plot()), 80)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  for (const button of document.querySelectorAll("[data-show]")) button.addEventListener("click", () => showing(button.dataset.show));
  const clicks = { compare: () => compare(), theme: retheme, play: () => walk(), keys: () => $("help").showModal() };
  for (const [id, done] of Object.entries(clicks)) $(id).addEventListener("click", done);
  for (const id of ["file", "camera"]) $(id).addEventListener("change", event => (images.own(event.target.files[0], choose), event.target.value = ""));
  addEventListener("dragover", event => (event.preventDefault(), document.body.classList.add("dragging")));
  addEventListener("dragleave", event => !event.relatedTarget && document.body.classList.remove("dragging"));
  addEventListener("drop", event => (event.preventDefault(), document.body.classList.remove("dragging"), images.own(event.dataTransfer.files[0], choose)));
  addEventListener("paste", event => images.own([...event.clipboardData.files][0], choose));
  cover.wire(look, draw);
}

function switches() { // one for each part that this network has
  $("what-if").hidden = !Object.keys(about.parts).length;
  $("what-if").replaceChildren(h("span", { class: "label" }, "In the network"), ...Object.entries(about.parts).map(([part, name]) =>
    h("button", { "data-off": part, "aria-pressed": !state.off[part], onclick: () => toggle(part) }, h("i"), name)));
}

// Take what the server says of its networks: at the start, and whenever a run has saved new weights.
export async function load() {
  const answer = await server.networks();
  Object.assign(state, { networks: answer.networks, examples: answer.examples, grid: answer.grid, methods: answer.methods, coverSize: answer.cover, run: answer.run, stamp: answer.stamp, kept: answer.kept ?? "", lacking: answer.lacking ?? "" });
  for (const other of state.networks) other.blocks = state.networks[0].blocks; // they are alike: one figure for all
  take(state.networks[now()?.network ?? 0]);
  const random = state.networks.map(({ untrained }, n) => (untrained && state.networks.length > 1 ? `Network ${"AB"[n]}: ${untrained}` : untrained));
  $("kept").textContent = [state.kept, ...new Set(random)].filter(Boolean).join(" ");
  $("kept").hidden = !$("kept").textContent;
  figure.build({ open, point, leave: hideLoupe });
  server.forget();
  return answer;
}

async function start() {
  $("late").remove();
  const [, token] = location.hash.match(/^#token=(.+)$/) ?? [], wish = token ? [] : location.hash.slice(1).split(".");
  try {
    if (token) { // in the fragment, which browsers send to no server; from here on in a cookie
      await server.enter(token);
      history.replaceState(null, "", location.pathname);
    }
    const { examples } = await load();
    await images.offer(examples);
    headline();
    document.body.toggleAttribute("data-lacking", Boolean(state.lacking));
    switches();
    wire();
    live.start({ load, look });
    await choose("a", state.samples[0], 0);
    const one = blockOf(wish[0]);
    if (one && now().seen) await go({ layer: one.name, step: wish[0], map: Math.min(each(one.name) * Math.max(1, towers) - 1, +wish[1] || 0), pixel: null });
  } catch (error) {
    document.body.dataset.state = "error";
    $("caption").replaceChildren(h("b", {}, "The network could not be opened. "), error.message);
  }
}

start();
