// Numbers to colours, and maps to canvases.

const stops = {
  light: {
    tower1: ["#f2f6fa", "#a9cbe6", "#3b83bd", "#0b3f70", "#04203d"],
    tower2: ["#faf4ee", "#efc79f", "#cc7a2e", "#7f3d08", "#401c02"],
    ink: ["#f5f5f3", "#c6c8c9", "#84888c", "#43474c", "#16191d"],
    signed: ["#5b2a86", "#9e78bd", "#dccfe6", "#f6f6f4", "#cfe3cd", "#6fae76", "#1b6b33"],
  },
  dark: {
    tower1: ["#12181f", "#173d5e", "#2f7fbd", "#86c2f0", "#eef7ff"],
    tower2: ["#1b1612", "#5a3011", "#b9671c", "#f0ab63", "#fff4e4"],
    ink: ["#15181c", "#3a3f45", "#767c83", "#b7bbbf", "#f1f1ee"],
    signed: ["#c79be8", "#8a5cb0", "#43315a", "#191b1f", "#1f4029", "#4a9a5b", "#a3e2a8"],
  },
};

const hex = text => [1, 3, 5].map(at => parseInt(text.slice(at, at + 2), 16));

function ramp(names) { // 256 colours, straight between the stops
  const points = names.map(hex), colours = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i++) {
    const position = (i / 255) * (points.length - 1), low = Math.min(Math.floor(position), points.length - 2), share = position - low;
    for (let c = 0; c < 3; c++) colours[4 * i + c] = points[low][c] * (1 - share) + points[low + 1][c] * share;
    colours[4 * i + 3] = 255;
  }
  return colours;
}

const ramps = Object.fromEntries(Object.entries(stops).map(([theme, of]) =>
  [theme, Object.fromEntries(Object.entries(of).map(([name, list]) => [name, ramp(list)]))]));

export const theme = () => document.documentElement.dataset.theme
  || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
export const palette = name => ramps[theme()][name];

// Where 0 and the end of a scale lie. Activations: square root from 0 to the 99.5 % quantile of the layer, so that weak
// ones are seen beside strong ones. Signed numbers: straight, to the same distance on both sides of 0.
export function scale(values, signed = false) {
  const top = end(values);
  const f = signed
    ? value => 127.5 + 127.5 * Math.max(-1, Math.min(1, value / top))
    : value => 255 * Math.sqrt(Math.max(0, Math.min(1, value / top)));
  return Object.assign(f, { top, signed });
}

const ends = new WeakMap(); // by array: a layer is drawn many times

function end(values) {
  if (ends.has(values)) return ends.get(values);
  const step = values.length > 60000 ? 5 : 1, sample = new Float32Array(Math.ceil(values.length / step));
  let count = 0;
  for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) sample[count++] = Math.abs(values[i]);
  const sorted = sample.subarray(0, count).sort(), top = sorted[Math.floor(0.995 * (count - 1))] || sorted[count - 1] || 1;
  ends.set(values, top);
  return top;
}

const NOT_A_NUMBER = [214, 45, 90]; // a colour that no scale has

const scratch = document.createElement("canvas"), pen = scratch.getContext("2d", { willReadFrequently: false });

function lay(layer, order, columns, colours, shade) { // all maps side by side, a pixel a number
  const { data, side } = layer, rows = Math.ceil(order.length / columns), wide = columns * side;
  scratch.width = wide;
  scratch.height = rows * side;
  const image = pen.createImageData(wide, rows * side), out = image.data;
  order.forEach((k, n) => {
    const left = (n % columns) * side, top = Math.floor(n / columns) * side;
    for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) {
      const value = data[(k * side + i) * side + j], to = 4 * ((top + i) * wide + left + j), is = !Number.isNaN(value);
      const from = is ? 4 * Math.round(shade(value)) : 0, of = is ? colours : NOT_A_NUMBER;
      out[to] = of[from]; out[to + 1] = of[from + 1]; out[to + 2] = of[from + 2]; out[to + 3] = 255;
    }
  });
  pen.putImageData(image, 0, 0);
  return rows;
}

// Draw maps as tiles. `tile` and `gap` are in CSS pixels.
export function mosaic(canvas, layer, order, { columns, tile, gap = 0, tall = tile, colours, shade }) {
  const ratio = devicePixelRatio || 1, rows = lay(layer, order, columns, colours, shade), { side } = layer;
  const width = Math.round(columns * tile * ratio), height = Math.round(rows * tall * ratio), space = Math.round(gap * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const to = canvas.getContext("2d");
  to.clearRect(0, 0, width, height);
  if (side === 1 && !space) {
    to.imageSmoothingEnabled = false;
    return to.drawImage(scratch, 0, 0, columns, rows, 0, 0, width, height);
  }
  to.imageSmoothingEnabled = side > tile * ratio;
  to.imageSmoothingQuality = "high";
  const edge = (n, size, of) => Math.round((n * size) / of);
  order.forEach((_, n) => {
    const c = n % columns, r = Math.floor(n / columns), left = edge(c, width, columns), top = edge(r, height, rows);
    const w = edge(c + 1, width, columns) - left - space, h = edge(r + 1, height, rows) - top - space;
    to.drawImage(scratch, c * side, r * side, side, side, left, top, w, h);
  });
}

// Draw one array of numbers as large cells, with the numbers in them where there is room.
export function cells(canvas, values, side, size, { colours, shade, digits = true }) {
  const ratio = devicePixelRatio || 1, edge = Math.round(size * ratio), cell = edge / side;
  Object.assign(canvas, { width: edge, height: edge });
  canvas.style.width = canvas.style.height = `${size}px`;
  lay({ data: values, side }, [0], 1, colours, shade);
  const to = canvas.getContext("2d");
  to.imageSmoothingEnabled = false;
  to.drawImage(scratch, 0, 0, side, side, 0, 0, edge, edge);
  if (!digits || cell < 24 * ratio) return;
  to.font = `${Math.min(cell * 0.34, 20 * ratio)}px ${getComputedStyle(document.documentElement).getPropertyValue("--sans")}`;
  to.textAlign = "center";
  to.textBaseline = "middle";
  for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) {
    const at = 4 * Math.round(shade(values[i * side + j]));
    const light = 0.3 * colours[at] + 0.59 * colours[at + 1] + 0.11 * colours[at + 2];
    to.fillStyle = light > 140 ? "#15181c" : "#fdfdfb";
    to.fillText(cell < 80 * ratio ? brief(values[i * side + j]) : number(values[i * side + j]), (j + 0.5) * cell, (i + 0.54) * cell);
  }
}

// A filter of the first layer in colour: three channels around grey.
export function colourFilter(canvas, weight, side, size) {
  const ratio = devicePixelRatio || 1, edge = Math.round(size * ratio), area = side * side;
  Object.assign(canvas, { width: edge, height: edge });
  canvas.style.width = canvas.style.height = `${size}px`;
  Object.assign(scratch, { width: side, height: side });
  const image = pen.createImageData(side, side), most = weight.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < 3; c++) image.data[4 * p + c] = 127.5 + 127.5 * (weight[c * area + p] / most);
    image.data[4 * p + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  const to = canvas.getContext("2d");
  to.imageSmoothingEnabled = false;
  to.drawImage(scratch, 0, 0, edge, edge);
}

export function number(value, digits = 2) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value < 0 ? "−Inf" : "Inf";
  const size = Math.abs(value);
  const text = size >= 1000 ? size.toFixed(0) : size >= 100 ? size.toFixed(Math.min(digits, 1)) : size.toFixed(digits);
  return (value < 0 && +text !== 0 ? "−" : "") + text;
}
const brief = value => (value === 0 ? "0" : Math.abs(value) < 1 ? number(value).replace("0.", ".") : number(value, 1));
export const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
export const percent = share => Number.isNaN(share) ? "NaN" : (share >= 0.995 ? "100" : share < 0.0095 ? (share * 100).toFixed(1) : (share * 100).toFixed(0)) + "\u00a0%";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name.startsWith("aria-")) element.setAttribute(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter(child => child != null && child !== false));
  return element;
}
