// Questions to the server, which computes with cualex; app.py has the list of them.

// No answer, or one that refuses: its message is for the user. All other errors are faults of this page.
export class NoAnswer extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

async function ask(path, sent, signal) {
  for (let tries = 1; ; tries++) {
    let response;
    try {
      const body = sent instanceof Blob ? sent : JSON.stringify(sent);
      response = await fetch(path, sent === undefined ? { signal } : { method: "POST", body, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new NoAnswer("The server does not answer. Is `cualex explore` still running?");
    }
    if (response.ok) return response;
    if (response.status === 503 && tries < 30) { // others are before us: come back when the server says
      dispatchEvent(new CustomEvent("waiting"));
      await new Promise(done => setTimeout(done, 1000 * (+response.headers.get("retry-after") || 1) * (0.5 + Math.random())));
      continue;
    }
    const { error } = await response.json().catch(() => ({}));
    throw new NoAnswer(error ?? `The server answers with status ${response.status}.`, response.status);
  }
}

const json = async (...asked) => (await ask(...asked)).json();

// JSON has null for NaN and Inf.
const numbers = list => list.map(value => value ?? NaN);

export const enter = token => json("/api/token", { token });
export const networks = () => json("/api/networks");
export const address = id => `/api/images/${id}`;
export const addImage = file => json("/api/images", file);
export const name = async question => numbers((await json("/api/name", question)).probabilities);
export async function excites(network, block, map) {
  const found = await json(`/api/excites/${network}/${block}/${map}`);
  for (const one of found.strongest) one.value ??= Infinity; // it is above 0
  return found;
}
export const run = () => json("/api/run");

// Maps as {layers: {name: {data, maps, side}}, probabilities, passed}; see `packed` of answers.py.
export async function see(question) {
  const bytes = await (await ask("/api/see", question)).arrayBuffer(), length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  let at = 4 + length;
  const layers = {};
  for (const [layer, maps, side] of head.layers) {
    layers[layer] = { data: new Float32Array(bytes, at, maps * side * side), maps, side };
    at += 4 * maps * side * side;
  }
  return { layers, probabilities: numbers(head.probabilities), passed: head.passed, broken: head.broken };
}

const filters = new Map(); // of the network that is loaded: a filter is asked for once

export async function filter(network, block, map) {
  const path = `/api/filter/${network}/${block}/${map}`;
  if (!filters.has(path)) {
    const values = new Float32Array(await (await ask(path)).arrayBuffer());
    filters.set(path, { bias: values[0], weight: values.subarray(1) });
  }
  return filters.get(path);
}

export const forget = () => filters.clear();

// Rows of a heat map, as they come.
export async function* heatRows(question, signal) {
  const reader = (await ask("/api/heat", question, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (text + value).split("\n");
    text = lines.pop();
    for (const line of lines) yield numbers(JSON.parse(line));
  }
}
