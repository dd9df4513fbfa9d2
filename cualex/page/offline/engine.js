// The network in the browser, for tours: a worker that computes every layer from the weights in the file, in float32.
// The page's description (description.py) says what each layer reads; parts are off as changes.py defines it.

let network, tensors, mean; // the description; arrays by name; the mean image at the crop, (crop, crop, 3)

function open({ description, arrays }) {
  [network, mean, tensors] = [description, arrays.mean, {}];
  for (const [name, values] of Object.entries(arrays)) {
    const scales = arrays[`${name}.scale`]; // of integers: w = q · scale, one a filter
    tensors[name] = scales ? dequantised(values, scales) : values;
  }
}

function dequantised(q, scales) {
  const weight = new Float32Array(q.length), size = q.length / scales.length;
  for (let filter = 0, at = 0; filter < scales.length; filter++) for (let n = 0; n < size; n++, at++) weight[at] = q[at] * scales[filter];
  return weight;
}

const each = name => network.layers[name].maps / network.layers[name].towers; // maps of a tower

// The centre crop minus the mean, times the scale. `cover` is [top, left, side]; what it hides is the mean, rounded.
function enter(pixels, cover) {
  const { crop, stored, offset, scale } = network, area = crop * crop, data = new Float32Array(3 * area), [top, left, side] = cover ?? [0, 0, 0];
  for (let row = 0; row < crop; row++) for (let column = 0; column < crop; column++) {
    const from = 3 * ((row + offset) * stored + column + offset), at = row * crop + column;
    const hidden = row >= top && row < top + side && column >= left && column < left + side;
    for (let c = 0; c < 3; c++) {
      const average = mean[3 * at + c], value = hidden ? Math.max(0, Math.min(255, Math.round(average))) : pixels[from + c];
      data[c * area + at] = (value - average) * scale[c];
    }
  }
  return { data, maps: 3, side: crop };
}

// What a filter reads: the first map, how many, and which of the towers below are heard.
function reading(one, map, off) {
  const below = network.layers[one.below], own = Math.floor(map / each(one.name)), share = below.maps / below.towers;
  const all = one.reads !== "own", count = (all ? below.maps : share) / one.groups, group = Math.floor((map % each(one.name)) / (each(one.name) / one.groups));
  const heard = Array.from({ length: below.towers }, (_, from) => one.reads !== "all"
    || !(off[`tower${from + 1}`] || (off.exchange && one.towers > 1 && from !== own)));
  return { own, share, first: (all ? 0 : own * share) + group * count, count, heard };
}

// im2col: what a filter sees at each position, one after another; zeros beyond the edges.
function columns(x, first, count, [size, stride, pad], side) {
  const length = count * size * size, data = new Float32Array(side * side * length);
  for (let p = 0; p < side * side; p++) {
    const top = Math.floor(p / side) * stride - pad, left = (p % side) * stride - pad, begin = Math.max(0, -left), end = Math.min(size, x.side - left);
    for (let c = 0; c < count; c++) for (let u = Math.max(0, -top); u < Math.min(size, x.side - top); u++) {
      const from = ((first + c) * x.side + top + u) * x.side + left, to = p * length + (c * size + u) * size;
      for (let v = begin; v < end; v++) data[to + v] = x.data[from + v];
    }
  }
  return data;
}

function dot(a, i, b, j, count) { // four sums, which do not wait for one another
  let s0 = 0, s1 = 0, s2 = 0, s3 = 0, n = 0;
  for (; n + 3 < count; n += 4) {
    s0 += a[i + n] * b[j + n];
    s1 += a[i + n + 1] * b[j + n + 1];
    s2 += a[i + n + 2] * b[j + n + 2];
    s3 += a[i + n + 3] * b[j + n + 3];
  }
  for (; n < count; n++) s0 += a[i + n] * b[j + n];
  return s0 + s1 + s2 + s3;
}

// Convolution and dense: y = b + Σ w · x. `passed[to][from]` is the mean |Σ over tower `from`|, the strength of a line.
function product(x, one, off) {
  const weight = tensors[`${one.name}.weight`], bias = tensors[`${one.name}.bias`], { maps, rows: side, towers } = network.layers[one.name];
  const window = one.window ?? [x.side, 1, 0], square = window[0] ** 2, area = side * side, y = new Float32Array(maps * area), held = {};
  const sources = one.reads === "all" ? network.layers[one.below].towers : 1, passed = Array.from({ length: towers }, () => Array(Math.max(sources, towers)).fill(0));
  for (let map = 0; map < maps; map++) {
    const { own, share, first, count, heard } = reading(one, map, off), length = count * square, seen = (held[first] ??= columns(x, first, count, window, side));
    y.fill(bias[map], map * area, (map + 1) * area);
    for (let from = 0; from < sources; from++) {
      if (!heard[from]) continue;
      const [start, stop] = sources > 1 ? [Math.max(0, from * share - first), Math.min(count, (from + 1) * share - first)] : [0, count];
      let total = 0;
      for (let p = 0; p < area; p++) {
        const sum = one.factor * dot(weight, map * length + start * square, seen, p * length + start * square, (stop - start) * square);
        y[map * area + p] += sum;
        total += Math.abs(sum);
      }
      passed[own][sources > 1 ? from : own] += total / area / (maps / towers);
    }
  }
  return [{ data: y, maps, side }, passed];
}

function pool(x, { size, stride }, side, average) { // what lies beyond the end of a map is no part of a window
  const data = new Float32Array(x.maps * side * side);
  for (let c = 0, at = 0; c < x.maps; c++) for (let i = 0; i < side; i++) for (let j = 0; j < side; j++, at++) {
    let most = -Infinity, sum = 0, count = 0;
    for (let row = i * stride; row < Math.min(x.side, i * stride + size); row++) for (let column = j * stride; column < Math.min(x.side, j * stride + size); column++) {
      const value = x.data[(c * x.side + row) * x.side + column];
      if (value > most) most = value;
      sum += value;
      count++;
    }
    data[at] = average ? sum / count : most;
  }
  return { data, maps: x.maps, side };
}

const shrink = (value, k, alpha, beta, sum) => (k + alpha * sum > 0 ? value / (k + alpha * sum) ** beta : 0);

function acrossMaps(x, name, { n, k, alpha, beta }) { // LRN, inside a tower
  const area = x.side ** 2, data = new Float32Array(x.data.length), reach = Math.floor(n / 2), own = each(name);
  for (let c = 0; c < x.maps; c++) {
    const tower = Math.floor(c / own), start = Math.max(c - reach, tower * own), stop = Math.min(c + reach, (tower + 1) * own - 1);
    for (let p = 0; p < area; p++) {
      let sum = 0;
      for (let j = start; j <= stop; j++) sum += x.data[j * area + p] ** 2;
      data[c * area + p] = shrink(x.data[c * area + p], k, alpha, beta, sum);
    }
  }
  return { ...x, data };
}

function insideMaps(x, { n, k, alpha, beta }) { // LRN over positions
  const { side } = x, data = new Float32Array(x.data.length), reach = Math.floor(n / 2);
  for (let c = 0, at = 0; c < x.maps; c++) for (let i = 0; i < side; i++) for (let j = 0; j < side; j++, at++) {
    let sum = 0;
    for (let row = Math.max(0, i - reach); row <= Math.min(side - 1, i + reach); row++)
      for (let column = Math.max(0, j - reach); column <= Math.min(side - 1, j + reach); column++) sum += x.data[(c * side + row) * side + column] ** 2;
    data[at] = shrink(x.data[at], k, alpha, beta, sum);
  }
  return { ...x, data };
}

function batchnorm(x, name, { epsilon }) {
  const area = x.side ** 2, [weight, bias, average, variance] = ["weight", "bias", "mean", "variance"].map(last => tensors[`${name}.${last}`]);
  return { ...x, data: x.data.map((value, at) => {
    const c = Math.floor(at / area);
    return (weight[c] * (value - average[c])) / Math.sqrt(variance[c] + epsilon) + bias[c];
  }) };
}

function grey(x) {
  const area = x.side ** 2, data = new Float32Array(area);
  for (let p = 0; p < area; p++) data[p] = 0.299 * x.data[p] + 0.587 * x.data[area + p] + 0.114 * x.data[2 * area + p];
  return { data, maps: 1, side: x.side };
}

function softmax(x) {
  const most = x.data.reduce((a, b) => Math.max(a, b)), raised = Float64Array.from(x.data, value => Math.exp(value - most)), sum = raised.reduce((a, b) => a + b);
  return { ...x, data: Float32Array.from(raised, value => value / sum) };
}

const FUNCTIONS = { // of engine/activations.py, by name; "NAME:a,b" gives their numbers
  tanh: () => Math.tanh,
  sigmoid: () => x => 1 / (1 + Math.exp(-x)),
  softplus: () => x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  linear: (a = 1, b = 0) => x => a * x + b,
  "leaky-relu": (a = 0.01) => x => Math.max(x, a * x),
  elu: (a = 1) => x => (x > 0 ? x : a * Math.expm1(x)),
};

function activation(text) {
  const [name, numbers] = text.split(":");
  return FUNCTIONS[name](...(numbers ? numbers.split(",").map(Number) : []));
}

function step(x, name, off) {
  const { kind, numbers, rows } = network.layers[name];
  switch (kind) {
    case "relu": return off.activation ? x : { ...x, data: x.data.map(value => Math.max(value, 0)) };
    case "activation": return off.activation ? x : { ...x, data: x.data.map(activation(numbers.function)) };
    case "maxpool": return pool(x, numbers, rows, false);
    case "averagepool": return pool(x, numbers, rows, true);
    case "lrn": return off.norm && !numbers.k ? x : acrossMaps(x, name, { ...numbers, alpha: off.norm ? 0 : numbers.alpha });
    case "spatial_lrn": return off.norm && !numbers.k ? x : insideMaps(x, { ...numbers, alpha: off.norm ? 0 : numbers.alpha });
    case "batchnorm": return batchnorm(x, name, numbers);
    case "grey": return grey(x);
    case "softmax": return softmax(x);
    default: throw new Error(`The browser computes no layer of kind ${kind}.`);
  }
}

// All layers of an image, probabilities, and what passes between blocks.
function see({ pixels, off, cover }) {
  const layers = {}, passed = {}, gone = Object.fromEntries(off.map(part => [part, true]));
  let x = enter(pixels, cover);
  for (const name of Object.keys(network.layers)) {
    const one = network.blocks.find(block => block.name === name);
    if (one) [x, passed[name]] = product(x, one, gone);
    else if (name !== "image") x = step(x, name, gone);
    layers[name] = x;
  }
  const broken = Object.keys(layers).find(name => !layers[name].data.every(Number.isFinite)) ?? "";
  return { layers, probabilities: Array.from(x.data), passed, broken };
}

const answers = {
  open,
  see: ({ layers: names, ...asked }) => {
    const { layers, ...rest } = see(asked);
    return { layers: Object.fromEntries(names.map(name => [name, layers[name]])), ...rest };
  },
  names: ({ covers, ...asked }) => covers.map(cover => see({ ...asked, cover }).probabilities),
  filter: ({ block, map }) => {
    const bias = tensors[`${block}.bias`], weight = tensors[`${block}.weight`], size = weight.length / bias.length;
    return { bias: bias[map], weight: weight.slice(map * size, (map + 1) * size) };
  },
};

onmessage = ({ data: { id, what, asked } }) => {
  try {
    postMessage({ id, answer: answers[what](asked) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
