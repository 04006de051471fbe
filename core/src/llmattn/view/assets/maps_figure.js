"use strict";
// One figure: a heat map with its names along the diagonal, a cross for the mouse and the keyboard.

const element = (name, text = "", properties = {}) => {
  const made = Object.assign(document.createElement(name), properties);
  made.textContent = text;
  return made;
};

/** A number as short as it can be read. */
function short(value) {
  if (value !== value) return "unknown";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 0.001 ? String(+value.toPrecision(size >= 0.1 ? 3 : 2)) : value.toExponential(0);
}

/** Room for the first name, which may be higher than its row. */
const above = 8;

class Figure {
  /** `told`: lines about a pair (query, key); `chosen`: called when a query is chosen. */
  constructor(section, told, chosen) {
    this.section = section;
    this.heading = element("h2", "", { id: `${section.id}-heading` });
    const top = element("div", "", { className: "heading" });
    this.about = element("p", "", { className: "soft small" });
    top.append(this.heading, this.about);
    this.map = element("div", "", { className: "map", tabIndex: 0 });
    this.map.setAttribute("role", "group");
    this.map.setAttribute("aria-roledescription", "heat map");
    this.base = element("canvas");
    this.over = element("canvas");
    this.map.append(this.base, this.over);
    this.bar = element("div", "", { className: "bar" });
    section.replaceChildren(top, this.map, this.bar);
    this.told = told;
    this.cell = 1;
    this.at = null;
    this.row = 0;
    this.map.addEventListener("pointermove", (event) => this.point(event));
    this.map.addEventListener("pointerleave", () => this.leave());
    this.map.addEventListener("click", (event) => {
      this.point(event);
      if (this.at) chosen(this.at[0]);
    });
    this.map.addEventListener("keydown", (event) => this.press(event, chosen));
    this.map.addEventListener("blur", () => this.leave());
  }

  title(name, about) {
    this.heading.textContent = name;
    this.about.textContent = about;
    const help = "Rows are queries, columns keys. Arrow keys move, Enter chooses the query.";
    this.map.setAttribute("aria-label", `${name}. ${help}`);
  }

  /** `image`: a pixel a pair. */
  draw(image, ink) {
    const width = Math.max(200, this.map.clientWidth);
    const dots = window.devicePixelRatio || 1;
    const context = this.base.getContext("2d");
    const font = "11px system-ui, sans-serif";
    context.font = font;
    const widths = DATA.labels.slice(-8).map((label) => context.measureText(label).width);
    const margin = Math.min(0.3 * width, Math.max(...widths) + 8);
    this.cell = (width - margin) / SIZE;
    const height = Math.ceil(this.cell * SIZE) + above + 2;
    for (const canvas of [this.base, this.over]) {
      canvas.width = Math.round(width * dots);
      canvas.height = Math.round(height * dots);
      canvas.style.height = `${height}px`;
      canvas.getContext("2d").setTransform(dots, 0, 0, dots, 0, dots * above);
    }
    context.imageSmoothingEnabled = this.cell * dots < 1.5;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, this.cell * SIZE, this.cell * SIZE);
    context.font = font;
    context.fillStyle = ink;
    context.textBaseline = "middle";
    const step = Math.max(1, Math.ceil(13 / this.cell));
    for (let n = 0; n < SIZE; n += step) {
      context.fillText(DATA.labels[n], (n + 1) * this.cell + 5, (n + 0.5) * this.cell);
    }
    this.cross();
  }

  /** The colours' bar with what stands at 0, 1/4, 1/2, 3/4 and 1 of it. */
  legend(colours, values) {
    const canvas = element("canvas", "", { width: 256, height: 1 });
    canvas.setAttribute("aria-hidden", "true");
    const image = new ImageData(256, 1);
    colours.forEach((colour, n) => image.data.set([...colour, 255], n * 4));
    canvas.getContext("2d").putImageData(image, 0, 0);
    this.bar.replaceChildren(canvas, ...values.map((value) => element("span", value)));
  }

  mark(row) {
    this.row = row;
    this.cross();
  }

  cross() {
    const context = this.over.getContext("2d");
    context.clearRect(0, -above, this.over.width, this.over.height);
    const style = getComputedStyle(document.documentElement);
    const box = (x, y, wide, high) => {
      context.lineWidth = 3.5;
      context.strokeStyle = style.getPropertyValue("--card");
      context.strokeRect(x, y, wide, high);
      context.lineWidth = 1.5;
      context.strokeStyle = style.getPropertyValue("--accent");
      context.strokeRect(x, y, wide, high);
    };
    const high = Math.max(this.cell, 2);
    box(1, this.row * this.cell, Math.max(high, (this.row + 1) * this.cell - 1), high);
    if (!this.at) return;
    const [query, key] = this.at;
    const side = Math.max(this.cell, 5);
    box((key + 0.5) * this.cell - side / 2, (query + 0.5) * this.cell - side / 2, side, side);
  }

  point(event) {
    const frame = this.map.getBoundingClientRect();
    const key = Math.floor((event.clientX - frame.left) / this.cell);
    const query = Math.floor((event.clientY - frame.top - above) / this.cell);
    if (key < 0 || query < 0 || query >= SIZE || key > query) return this.leave();
    this.at = [query, key];
    this.cross();
    show(this.told(query, key), event.clientX, event.clientY);
  }

  press(event, chosen) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key === "Escape") return this.leave();
    if (event.key === "Enter" && this.at) return chosen(this.at[0]);
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const [query, key] = this.at ?? [this.row, this.row];
    const row = Math.min(SIZE - 1, Math.max(0, query + move[0]));
    this.at = [row, Math.min(row, Math.max(0, key + move[1]))];
    this.cross();
    const lines = this.told(...this.at);
    const frame = this.map.getBoundingClientRect();
    show(lines, frame.left + this.at[1] * this.cell, frame.top + above + this.at[0] * this.cell);
    say(lines.join(", "));
  }

  leave() {
    this.at = null;
    this.cross();
    document.getElementById("tip").hidden = true;
  }
}

/** What stands under the mouse, beside it and inside the window. */
function show(lines, x, y) {
  const tip = document.getElementById("tip");
  tip.textContent = lines.join("\n");
  tip.hidden = false;
  const left = x + 16 + tip.offsetWidth > innerWidth ? x - 12 - tip.offsetWidth : x + 16;
  const top = y + 16 + tip.offsetHeight > innerHeight ? y - 12 - tip.offsetHeight : y + 16;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

function say(text) {
  document.getElementById("live").textContent = text;
}
