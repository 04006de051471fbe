"use strict";
// Maps: unpacking them, their colours, and drawing them on a canvas. No word of the data is ever markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SIZE = DATA.labels.length;
const PALETTES = {
  light: ["#f5f7fc", "#d9e4f6", "#aecbee", "#7ba9e1", "#4b83cf", "#315fb4", "#243f92", "#181f63"],
  dark: ["#1b2030", "#20305a", "#24498a", "#2869ac", "#318fb9", "#55b6b0", "#9fd8a0", "#f4f1a6"],
};
const AGAINST = {
  light: ["#1d3f9c", "#7a9fe0", "#f5f6f8", "#ef9a5e", "#a5350a"],
  dark: ["#7fb0ff", "#34579c", "#1b2030", "#a35218", "#ffb066"],
};

const Maps = (() => {
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  /** 256 colours between the stops of a palette, as [r, g, b]. */
  function ramp(stops) {
    const ends = stops.map(rgb);
    return Array.from({ length: 256 }, (_, step) => {
      const at = (step / 255) * (ends.length - 1);
      const low = Math.min(Math.floor(at), ends.length - 2);
      return ends[low].map((value, n) => Math.round(value + (at - low) * (ends[low + 1][n] - value)));
    });
  }

  function bytes(text) {
    const found = atob(text);
    const array = new Uint8Array(found.length);
    for (let n = 0; n < found.length; n++) array[n] = found.charCodeAt(n);
    return array;
  }

  async function inflated(text) {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // Key by key, the queries from the key on.
  const place = (query, key) => key * SIZE - (key * (key - 1)) / 2 + query - key;

  /** The codes of a map, unpacked once; places of its book on every scale. */
  async function open(map) {
    map.codes ??= inflated(map.data).then((codes) => {
      map.ready = codes;
      for (const name of Object.keys(map.places)) map.places[name] = bytes(map.places[name]);
      return map;
    });
    return map.codes;
  }

  /** The number of a pair; NaN where nobody knows it. */
  function value(map, query, key) {
    if (key > query) return NaN;
    const code = map.ready[place(query, key)];
    return code === DATA.unknown ? NaN : map.book[code];
  }

  /** The place of a pair between the ends of the colours, 0 to 255; -1: unknown. */
  function level(map, query, key, scale) {
    if (key > query) return -1;
    const code = map.ready[place(query, key)];
    return code === DATA.unknown ? -1 : map.places[scale][code];
  }

  /** The sum of a row without the keys left out. */
  function total(map, query, hidden) {
    let sum = 0;
    for (let key = 0; key <= query; key++) {
      const found = hidden.has(key) ? NaN : value(map, query, key);
      if (found === found) sum += found;
    }
    return sum;
  }

  /** A minus B as triangle of floats, in numbers or, if `shares`, in shares of the row. */
  function difference(a, b, shares) {
    const found = new Float32Array((SIZE * (SIZE + 1)) / 2);
    const none = new Set();
    for (let query = 0; query < SIZE; query++) {
      const by = shares ? [total(a, query, none) || 1, total(b, query, none) || 1] : [1, 1];
      for (let key = 0; key <= query; key++) {
        found[place(query, key)] = value(a, query, key) / by[0] - value(b, query, key) / by[1];
      }
    }
    return found;
  }

  /** Where the colours of a difference end: nearly all are below. */
  function reach(found) {
    const sizes = Float32Array.from(found.filter((value) => value === value), Math.abs).sort();
    return sizes[Math.floor(0.995 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
  }

  /** Pixels of a triangle, one a pair, by a colour for each pair or null. */
  function picture(colour) {
    const image = new ImageData(SIZE, SIZE);
    const data = new Uint32Array(image.data.buffer);
    for (let query = 0; query < SIZE; query++) {
      for (let key = 0; key <= query; key++) {
        const found = colour(query, key);
        if (found) data[query * SIZE + key] = 0xff000000 | (found[2] << 16) | (found[1] << 8) | found[0];
      }
    }
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIZE;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  /** A small picture of a map: of the pairs that share a pixel the strongest. */
  function small(map, canvas, side, scale, colours, hidden) {
    const edge = Math.min(side, SIZE);
    const most = new Int16Array(edge * edge).fill(-1);
    const levels = map.places[scale];
    for (let key = 0, at = 0; key < SIZE; key++) {
      const column = Math.floor((key * edge) / SIZE);
      for (let query = key; query < SIZE; query++, at++) {
        const code = map.ready[at];
        if (code === DATA.unknown || hidden.has(key)) continue;
        const pixel = Math.floor((query * edge) / SIZE) * edge + column;
        if (levels[code] > most[pixel]) most[pixel] = levels[code];
      }
    }
    canvas.width = canvas.height = edge;
    const image = new ImageData(edge, edge);
    most.forEach((found, pixel) => {
      if (found >= 0) image.data.set([...colours[found], 255], pixel * 4);
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  return { ramp, open, value, level, total, difference, reach, picture, small, place };
})();
