// The sentences: what the network says of the image, what changed, what a layer is.

import { h, percent } from "./maps.js";
import { about, blocks, dense, each, layer, output, towers, unit } from "./network.js";
import { $, best, now, off, state } from "./state.js";

const count = value => value.toLocaleString("en");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

// What a block reads, from the network's own list.
export function reads(one) {
  const below = layer(one.below);
  if (one.reads === "image") return below.maps === 3 ? "the image's three colours" : "the image in grey";
  const word = below.rows > 1 ? "map" : "value", own = each(one.below) / one.groups;
  if (one.reads === "all") return `all ${plural(below.maps, word)} of ${below.towers > 2 ? "all" : "both"} towers`;
  return one.groups > 1 ? `the ${plural(own, word)} of its own group` : `the ${plural(own, word)} of ${below.towers > 1 ? "its own tower" : "the layer below"}`;
}

export function what(one) {
  const [size] = one.window ?? [], where = layer(one.name).towers > 1 ? " in each tower" : "";
  return `${size ? `${plural(each(one.name), "filter")} of ${size}×${size}` : plural(each(one.name), "unit")}${where}, over ${reads(one)}.`;
}

// One clause on where the block stands: the first that reads all towers, the first without positions.
export function standing(one) {
  if (one === output) return "One value a class; softmax makes probabilities of them.";
  const first = blocks.find(other => other.reads === "all");
  if (one === first) return "Here the towers meet for the first time.";
  if (dense(one) && !dense(blocks[one.at - 1] ?? { window: [1] })) return "No positions any more: every unit reads whole maps.";
  if (one.reads === "image") return "The only filters that see colours.";
  return towers > 1 && one.reads === "own" ? "Each tower goes on alone." : "";
}

function crossing(one) {
  const passed = now().seen.passed[one.name];
  if (one.reads !== "all" || passed.length < 2) return "";
  const own = passed[0][0] + passed[1][1], other = passed[0][1] + passed[1][0];
  return ` Of what reaches it, ${percent(other / (own + other || 1))} comes from the other tower: ${count(one.crosses)} floats each way.`;
}

export function caption(one) {
  const box = $("caption"), held = now(), { classes } = about;
  if (!held?.seen) return;
  const said = held.seen.probabilities, { broken } = held.seen;
  if (one) return box.replaceChildren(h("b", {}, one.name), ` ${what(one)}`, crossing(one));
  if (broken) return box.replaceChildren("From ", h("b", {}, broken), " on, values are NaN or Inf", best(said) < 0 ? ", so no class has a probability. " : ". ",
    h("small", {}, off().length ? "Numbers outgrow what the network was trained for." : "The training may have diverged: cualex help diagnose."));
  const gone = off();
  if (gone.length || state.cover) {
    const without = gone.map(part => (/^tower/.test(part) || part === "activation" ? "" : part === "exchange" ? "the " : "") + about.parts[part]).join(" and ");
    const first = best(held.plain.probabilities), was = held.plain.probabilities[first], is = said[first];
    return box.replaceChildren(state.cover ? "With this part covered" : "", state.cover && without ? " and " : "", without ? `${state.cover ? "w" : "W"}ithout ${without}` : "", ", ", h("b", {}, classes[first]),
      ` goes from ${percent(was)} to ${percent(is)}. `, gone.length ? h("small", {}, "The weights were learned with it: this shows what this network loses.") : "");
  }
  if (state.b) {
    const [x, y] = [state.a, state.b].map(slot => slot.seen?.probabilities);
    if (!x || !y) return;
    const names = state.a.network === state.b.network ? ["A is", "B is"] : ["Network A says", "network B says"];
    return box.replaceChildren(`${names[0]} `, ...likeliest(x), `, ${names[1]} `, ...likeliest(y), ". ",
      h("small", {}, state.showing === "difference" ? "Green: stronger in A. Purple: stronger in B." : "Bars: solid for the one on show, outlined for the other. b changes between them."));
  }
  if (!held.alone) return box.replaceChildren(towers > 1 ? "Two towers read one image. Hover a layer, click a map." : "Hover a layer, click a map.");
  const parts = held.alone.flatMap((alone, t) => [`${t ? ", tower" : "Tower"} ${t + 1} alone ${t ? "" : "would say "}`, ...likeliest(alone, `tower${t + 1}`)]);
  box.replaceChildren(...parts, ". Together they say ", ...likeliest(said), ". ", h("small", {}, "A line is as strong as what passes along it."));
}

// The likeliest class with its probability.
function likeliest(said, cls = "") {
  const k = best(said);
  return k < 0 ? [h("b", { class: cls }, "nothing"), " (NaN)"] : [h("b", { class: cls }, about.classes[k]), ` (${percent(said[k])})`];
}

// The line beside the title.
export function headline() {
  const { network, crop, classes } = about, { epochs, planned, training } = state.run ?? {}, last = epochs?.at(-1);
  const run = !last ? "" : `; ${training ? "training, " : ""}epoch ${last.epoch}${planned ? ` of ${planned}` : ""}${last.top1 == null ? "" : `, top-1 ${(100 * last.top1).toFixed(1)} %`}`;
  $("about").textContent = `${network}, ${crop} pixels, ${plural(classes.length, "class").replace("classs", "classes")}${run}`;
}

// What the loupe says of a map.
export const short = (one, map, value) => `${one.name}, ${unit(one)} ${map % each(one.shown)}: up to ${value}`;
