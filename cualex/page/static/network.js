// The network, as the server describes it: blocks and layers, what each reads, which pixels a value depends on.

export let about = null;
export let blocks = [];
export let hidden = [];
export let output = null;
export let towers = 1;

export function take(description) {
  about = description;
  towers = description.towers;
  blocks = description.blocks;
  blocks.forEach((one, at) => { one.at = at; });
  output = blocks.at(-1);
  hidden = blocks.slice(0, -1);
}

export const block = name => blocks.find(one => one.name === name);
export const blockOf = layer => blocks.find(one => one.layers.includes(layer));
export const layer = name => about.layers[name];
export const dense = one => !one.window;
export const unit = one => (dense(one) || layer(one.shown).rows === 1 ? "unit" : "map");

// Activations are drawn in the tower's colour from 0 up; what can be negative in purple and green around 0.
export const signed = (name, off) => layer(name).signed || Boolean(off.activation && layer(name).kind !== "softmax");

export const each = name => layer(name).maps / layer(name).towers; // maps of a tower
export const tower = (name, map) => Math.floor(map / each(name));
export const hue = (name, t) => `tower${layer(name).towers === 1 && towers > 1 ? 0 : t + 1}`;

// The part of the crop that the value at (row, column) of a layer depends on: [top, left, bottom, right] in pixels.
export function field(name, row, column) {
  const { crop } = about, seen = layer(name).field;
  if (!seen) return [0, 0, crop, crop];
  const [size, step, start] = seen, clip = value => Math.max(0, Math.min(crop, value));
  const top = start + row * step, left = start + column * step;
  return [clip(top), clip(left), clip(top + size), clip(left + size)];
}

// Which layers the figure shows, and which the lens needs for one block.
export const drawn = () => [...hidden.map(one => one.shown), output.name];
export const needed = one => [one.below, ...one.layers];

// What one value of a convolution or dense layer is the sum of: for every map that it reads, patch, weights, products.
export function terms(one, seen, filter, map, row, column, off) {
  const below = seen.layers[one.below], own = tower(one.name, map), from = layer(one.below).towers, share = below.maps / from;
  const [size, stride, pad] = one.window ?? [below.side, 1, 0], inGroup = share / one.groups;
  // The first map that it reads, and how many: of all towers, of its own, or of its own group.
  const count = one.reads === "all" || one.reads === "image" ? below.maps / one.groups : inGroup;
  const group = Math.floor((map % each(one.name)) / (each(one.name) / one.groups));
  const first = (one.reads === "own" ? own * share : 0) + group * count, list = [];
  for (let c = 0; c < count; c++) {
    const source = one.reads === "image" ? null : Math.floor((first + c) / share);
    if (one.reads === "all" && (off[`tower${source + 1}`] || (off.exchange && layer(one.name).towers > 1 && source !== own))) continue;
    const x = new Float32Array(size * size), w = filter.weight.subarray(c * size * size, (c + 1) * size * size);
    for (let u = 0; u < size; u++) for (let v = 0; v < size; v++) {
      const i = row * stride + u - pad, j = column * stride + v - pad;
      if (i >= 0 && j >= 0 && i < below.side && j < below.side) x[u * size + v] = below.data[((first + c) * below.side + i) * below.side + j] * one.factor;
    }
    const product = x.map((value, at) => value * w[at]);
    list.push({ map: first + c, from: source, x, w, product, sum: product.reduce((a, b) => a + b, 0) });
  }
  return { list, size };
}
