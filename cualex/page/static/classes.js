// The last block, large: the scores of all classes, how softmax makes probabilities of them, and why this class.

import { h, number, percent } from "./maps.js";
import { about, layer, terms } from "./network.js";
import { exciting } from "./lens.js";
import { add, equation, files, formula, products } from "./value.js";
import { now, state } from "./state.js";

const SHOWN = 24; // classes in the list; the search finds the others

export function classes(one, filter, go) {
  const { seen } = now(), scores = [...seen.layers[one.name].data], largest = Math.max(...scores), raised = scores.map(score => Math.exp(score - largest)), all = raised.reduce((a, b) => a + b);
  const softmax = one.layers.at(-1);
  return [
    h("div", { class: "pane maps" }, h("h3", {}, "Scores, before softmax"), scoreList(scores, go)),
    h("div", { class: "pane one" }, h("h3", {}, "From scores to probabilities"), formula("p = e", h("sup", {}, "z"), " / Σ e", h("sup", {}, "z")),
      h("p", { class: "line" }, "e", h("sup", {}, `${number(scores[state.map])} − ${number(largest)}`), ` / ${number(all, 3)} = ${number(raised[state.map], 3)} / ${number(all, 3)} = `, h("b", { class: "result" }, percent(seen.probabilities[state.map]))),
      h("p", { class: "quiet" }, "The largest score is taken from all, so that nothing overflows; the quotient stays the same."),
      files(softmax), exciting(one)),
    h("div", { class: "pane sum" }, h("h3", {}, `Why ${about.classes[state.map]}?`), formula("z = b + Σ w · x"), filter ? why(one, filter, scores[state.map]) : h("p", {}, state.lacking), files(one.name)),
  ];
}

function why(one, filter, score) { // the strongest products, and what each tower adds
  const { list } = terms(one, now().seen, filter, state.map, 0, 0, state.off), { towers } = layer(one.below);
  const sources = one.reads === "all" ? towers : 1, sums = Array(sources).fill(0);
  for (const term of list) sums[sources > 1 ? term.from : 0] += term.sum;
  const most = [...list].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum)).slice(0, 8), total = h("dl", { class: "total" });
  sums.forEach((part, t) => add(total, sources > 1 ? `all from tower ${t + 1}` : "all products", part, sources > 1 ? `tower${t + 1}` : ""));
  add(total, "bias", filter.bias);
  equation(total, "=", "z", score, "", "end");
  const halved = one.factor === 1 ? "" : `, each x times ${+one.factor.toFixed(3)} for dropout`;
  return [h("p", {}, `The strongest ${most.length} of ${list.length.toLocaleString("en")} products${halved}:`), products(one, most), total];
}

function scoreList(scores, go) {
  const widest = scores.reduce((most, score) => Math.max(most, Math.abs(score)), 1e-9), rows = h("div", { class: "logits" }), many = scores.length > SHOWN;
  const order = [...scores.keys()];
  if (many) order.sort((x, y) => scores[y] - scores[x]);
  const fill = text => {
    const found = order.filter(k => about.classes[k].toLowerCase().includes(text)).slice(0, SHOWN);
    rows.replaceChildren(...found.map(k => {
      const bar = h("i", { class: scores[k] < 0 ? "negative" : "positive" });
      Object.assign(bar.style, { left: scores[k] < 0 ? `${50 + (50 * scores[k]) / widest}%` : "50%", width: `${(50 * Math.abs(scores[k])) / widest}%` });
      return h("button", { "aria-pressed": k === state.map, title: about.classes[k], "data-keep": `class${k}`, onclick: () => go({ map: k }) }, h("span", {}, about.classes[k]), h("span", { class: "track" }, bar), h("b", {}, number(scores[k])));
    }), found.length ? "" : h("p", { class: "quiet" }, "No class has this name."));
  };
  fill("");
  if (!many) return rows;
  const search = h("input", { type: "search", placeholder: `Find one of ${scores.length.toLocaleString("en")} classes`, "aria-label": "Find a class", "data-keep": "search" });
  search.addEventListener("input", () => fill(search.value.trim().toLowerCase()));
  return h("div", {}, search, rows);
}
