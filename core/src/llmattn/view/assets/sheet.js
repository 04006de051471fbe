"use strict";
// The page of a sheet: what is chosen, and everything that follows from it.

(() => {
  const at = (id) => document.getElementById(id);
  const few = 12;
  const arcs = 8;
  const state = {
    a: [0, 0], b: null, scale: DATA.scale, hide: false, queries: false,
    token: DATA.sources[0].maps[0].first, whole: false,
  };
  const mapOf = ([source, map]) => DATA.sources[source].maps[map];
  const nameOf = ([source, map]) => [...new Set([DATA.sources[source].name, mapOf([source, map]).name])].join(" ");
  const label = (n) => DATA.labels[n];
  const hiddenOf = (map) => new Set(state.hide ? map.lines : []);
  const tokens = [];
  let theme, colours, against;

  function isDark() {
    const said = document.documentElement.dataset.theme;
    return said ? said === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function paint() {
    theme = isDark() ? "dark" : "light";
    colours = Maps.ramp(PALETTES[theme]);
    against = Maps.ramp(AGAINST[theme]);
    at("theme").textContent = isDark() ? "Light colours" : "Dark colours";
  }

  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink");

  // Shares of a row, where numbers of two sources mean different things.
  const inShares = () => {
    const [one, other] = [DATA.sources[state.a[0]], DATA.sources[state.b[0]]];
    return one !== other && !(one.what === "weight" && other.what === "weight");
  };

  // ---- figures

  const about = (which) => (query, key) => {
    const lines = [`${label(query)} (${query + 1}) → ${label(key)} (${key + 1})`];
    const one = Maps.value(mapOf(state.a), query, key);
    if (which !== "b") lines.push(`${short(one)}  ${nameOf(state.a)}`);
    if (!state.b || which === "a") return lines;
    lines.push(`${short(Maps.value(mapOf(state.b), query, key))}  ${nameOf(state.b)}`);
    if (which === "d") lines.push(`${signed(state.d[Maps.place(query, key)])}  difference${inShares() ? " of shares of the row" : ""}`);
    return lines;
  };
  const signed = (value) => (value > 0 ? "+" : "") + short(value);
  const figures = {};
  for (const which of ["a", "b", "d"]) {
    figures[which] = new Figure(at(`figure-${which}`), about(which), (query) => choose(query));
  }

  function drawMap(figure, place) {
    const map = mapOf(place);
    const hidden = hiddenOf(map);
    figure.title(nameOf(place), map.lines.length ? `rests on ${map.lines.map(label).join(", ")}` : "");
    const image = Maps.picture((query, key) => {
      const found = hidden.has(key) ? -1 : Maps.level(map, query, key, state.scale);
      return found < 0 ? null : colours[found];
    });
    figure.draw(image, ink());
    figure.legend(colours, map.legend[state.scale].map(short));
  }

  function drawDifference() {
    const [one, other] = [mapOf(state.a), mapOf(state.b)];
    state.d = Maps.difference(one, other, inShares());
    const hidden = new Set(state.hide ? [...one.lines, ...other.lines] : []);
    const end = Maps.reach(state.d);
    const step = (value) => Math.round(127.5 + 127.5 * Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value) / end)));
    figures.d.title("Difference", inShares() ? "of shares of the row" : "of the numbers");
    const image = Maps.picture((query, key) => {
      const value = hidden.has(key) ? NaN : state.d[Maps.place(query, key)];
      return value === value ? against[step(value)] : null;
    });
    figures.d.draw(image, ink());
    figures.d.legend(against, [-end, -end / 4, 0, end / 4, end].map(signed));
  }

  // ---- the text

  function buildText() {
    at("text").classList.toggle("long", SIZE > 120);
    DATA.tokens.forEach((text, n) => {
      const spaces = text.length - text.trimStart().length;
      if (spaces) at("tokens").append(text.slice(0, spaces));
      const token = element("span", text.slice(spaces) || "␣", { className: "token", tabIndex: -1 });
      token.setAttribute("role", "option");
      token.dataset.token = n;
      tokens.push(token);
      at("tokens").append(token);
    });
    at("tokens").addEventListener("click", (event) => {
      const token = event.target.closest(".token");
      if (token) choose(+token.dataset.token);
    });
    at("tokens").addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -SIZE, End: SIZE };
      if (!(event.key in moves)) return;
      event.preventDefault();
      choose(Math.min(SIZE - 1, Math.max(0, state.token + moves[event.key])));
      tokens[state.token].focus();
    });
    at("tokens").addEventListener("pointerover", (event) => {
      const token = event.target.closest(".token");
      if (!token) return;
      const [query, key] = pairWith(+token.dataset.token);
      const lines = key > query ? [`${label(query)} comes before ${label(key)}`] : about(state.b ? "d" : "a")(query, key);
      show(lines, event.clientX, event.clientY);
    });
    at("tokens").addEventListener("pointerleave", () => (at("tip").hidden = true));
  }

  /** The pair that the chosen token makes with another. */
  const pairWith = (other) => (state.queries ? [other, state.token] : [state.token, other]);

  /** The tokens that the chosen one looks at (or that look at it), the strongest first. */
  function partners(map) {
    const hidden = hiddenOf(map);
    const found = [];
    for (let other = 0; other < SIZE; other++) {
      const [query, key] = pairWith(other);
      const value = hidden.has(key) ? NaN : Maps.value(map, query, key);
      if (value === value) found.push([other, value]);
    }
    return found.sort((one, two) => two[1] - one[1]);
  }

  function colourText(map) {
    const hidden = hiddenOf(map);
    tokens.forEach((token, other) => {
      const [query, key] = pairWith(other);
      const found = hidden.has(key) ? -1 : Maps.level(map, query, key, state.scale);
      const fill = found < 0 ? null : colours[found];
      token.style.backgroundColor = fill ? `rgb(${fill})` : "";
      token.style.color = fill ? readable(fill) : "";
      const chosen = other === state.token;
      token.setAttribute("aria-selected", chosen);
      token.tabIndex = chosen ? 0 : -1;
    });
    drawArcs(map, partners(map).filter(([other, value]) => other !== state.token && value > 0).slice(0, arcs));
  }

  /** Black or white, whichever is further from a colour. */
  function readable(fill) {
    const [red, green, blue] = fill.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
  }

  function drawArcs(map, strongest) {
    const box = at("text");
    const svg = box.querySelector("svg");
    const frame = box.getBoundingClientRect();
    svg.style.height = `${box.scrollHeight}px`;
    const spot = (n) => {
      const rect = tokens[n].getClientRects()[0];
      const left = rect.left - frame.left + box.scrollLeft;
      return { x: left + rect.width / 2, top: rect.top - frame.top + box.scrollTop, high: rect.height };
    };
    const from = spot(state.token);
    svg.replaceChildren(
      ...strongest.map(([other, value]) => {
        const to = spot(other);
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        path.setAttribute("d", arc(from, to));
        path.setAttribute("fill", "none");
        path.setAttribute("stroke", "var(--arc)");
        path.setAttribute("stroke-linecap", "round");
        const share = Math.sqrt(value / strongest[0][1]);
        path.setAttribute("stroke-width", (0.8 + 2.4 * share).toFixed(2));
        path.setAttribute("stroke-opacity", (0.25 + 0.6 * share).toFixed(2));
        return path;
      })
    );
  }

  function arc(from, to) {
    if (Math.abs(from.top - to.top) < 4) {
      const rise = Math.min(30, 12 + Math.abs(from.x - to.x) * 0.045);
      return `M${from.x} ${from.top} C${from.x} ${from.top - rise} ${to.x} ${to.top - rise} ${to.x} ${to.top}`;
    }
    const [high, low] = from.top < to.top ? [from, to] : [to, from];
    const start = high.top + high.high;
    const bend = Math.max(12, (low.top - start) * 0.5);
    return `M${low.x} ${low.top} C${low.x} ${low.top - bend} ${high.x} ${start + bend} ${high.x} ${start}`;
  }

  // ---- the numbers

  function fillTable() {
    const map = mapOf(state.a);
    const found = partners(map);
    at("numbers-heading").textContent = state.queries
      ? `Who looks at ${label(state.token)} (${state.token + 1})`
      : `What ${label(state.token)} (${state.token + 1}) looks at`;
    const shown = state.whole ? found : found.slice(0, few);
    const names = [state.queries ? "query" : "key", nameOf(state.a)];
    if (state.b) names.push(nameOf(state.b), inShares() ? "difference of shares of the row" : "difference");
    const rows = shown.map(([other, value]) => {
      const [query, key] = pairWith(other);
      const cells = [`${label(other)} (${other + 1})`, short(value)];
      if (state.b) cells.push(short(Maps.value(mapOf(state.b), query, key)), signed(state.d[Maps.place(query, key)]));
      return cells;
    });
    at("table").replaceChildren(...table(names, rows));
    at("more").hidden = found.length <= few;
    at("more").textContent = state.whole ? `The strongest ${few}` : `Show all ${found.length}`;
  }

  function table(names, rows) {
    const head = element("thead");
    const top = head.appendChild(element("tr"));
    names.forEach((name, n) => top.append(element("th", name, { scope: "col", className: n ? "number" : "" })));
    const body = element("tbody");
    for (const cells of rows) {
      const row = body.appendChild(element("tr"));
      cells.forEach((cell, n) => row.append(element("td", cell, { className: n ? "number" : "" })));
    }
    return [head, body];
  }

  function fillWhole() {
    if (!at("whole").open) return;
    const map = mapOf(state.a);
    const hidden = hiddenOf(map);
    const rows = DATA.labels.map((name, query) => {
      const found = [];
      for (let key = 0; key <= query; key++) {
        const value = hidden.has(key) ? NaN : Maps.value(map, query, key);
        if (value === value) found.push([key, value]);
      }
      found.sort((one, two) => two[1] - one[1]);
      const cells = found.slice(0, 3).map(([key, value]) => `${label(key)} ${short(value)}`);
      return [`${name} (${query + 1})`, ...cells, ...Array(3 - cells.length).fill("")];
    });
    at("strongest").replaceChildren(...table(["query", "1st", "2nd", "3rd"], rows));
  }

  // ---- choosing

  function choose(token) {
    state.token = token;
    const map = mapOf(state.a);
    colourText(map);
    fillTable();
    for (const figure of Object.values(figures)) figure.mark(token);
    const strongest = partners(map).slice(0, 3).map(([other, value]) => `${label(other)} ${short(value)}`);
    say(`${at("numbers-heading").textContent}: ${strongest.join(", ")}`);
  }

  function options(select, names, chosen) {
    select.replaceChildren(...names.map((name, n) => element("option", name, { value: n, selected: n === chosen })));
  }

  function fillChoice(side, place) {
    const sources = DATA.sources.map((source) => source.name);
    const offset = side === "b" ? 1 : 0;
    options(at(`${side}-source`), offset ? ["nothing", ...sources] : sources, place ? place[0] + offset : 0);
    const maps = place ? DATA.sources[place[0]].maps : [];
    const layers = maps.every((map) => map.layer) ? [...new Set(maps.map((map) => map.layer))] : [];
    const now = place && mapOf(place);
    const inLayer = layers.length ? maps.filter((map) => map.layer === now.layer) : maps;
    options(at(`${side}-layer`), layers, layers.indexOf(now?.layer));
    options(at(`${side}-map`), inLayer.map((map) => (layers.length ? map.head : map.name)), inLayer.indexOf(now));
    at(`${side}-layer`).parentElement.hidden = !layers.length;
    at(`${side}-map`).parentElement.hidden = !place;
    at(`${side}-map`).previousElementSibling.textContent = layers.length ? "Head" : "Map";
  }

  function listen(side) {
    const offset = side === "b" ? 1 : 0;
    at(`${side}-source`).addEventListener("change", (event) => {
      const source = +event.target.value - offset;
      const same = state.a[0] === source && side === "b";
      const other = Math.min(state.a[1] + 1, DATA.sources[Math.max(0, source)].maps.length - 1);
      state[side] = source < 0 ? null : [source, same ? other : 0];
      update();
    });
    const pick = (layer, number) => {
      const maps = DATA.sources[state[side][0]].maps;
      const inLayer = layer ? maps.filter((map) => map.layer === layer) : maps;
      state[side] = [state[side][0], maps.indexOf(inLayer[Math.min(number, inLayer.length - 1)])];
      update();
    };
    const number = () => Math.max(0, at(`${side}-map`).selectedIndex);
    at(`${side}-layer`).addEventListener("change", (event) => pick(event.target.selectedOptions[0].textContent, number()));
    at(`${side}-map`).addEventListener("change", () => pick(mapOf(state[side]).layer, number()));
  }

  function stepBy(by) {
    const every = DATA.sources.flatMap((source, s) => source.maps.map((_, m) => [s, m]));
    const now = every.findIndex(([s, m]) => s === state.a[0] && m === state.a[1]);
    state.a = every[(now + by + every.length) % every.length];
    update();
    say(nameOf(state.a));
  }

  // ---- all maps

  const thumbs = [];
  const watch = new IntersectionObserver((seen) => {
    for (const each of seen) {
      if (!each.isIntersecting) continue;
      watch.unobserve(each.target);
      const thumb = thumbs[each.target.dataset.thumb];
      Maps.open(mapOf(thumb.place)).then((map) => {
        Maps.small(map, thumb.canvas, 120, state.scale, colours, hiddenOf(map));
      });
    }
  }, { rootMargin: "2500px" });

  function buildThumbs() {
    DATA.sources.forEach((source, s) => {
      at("all").append(element("h3", source.name));
      source.maps.forEach((map, m) => {
        const button = element("button", "", { type: "button", className: "thumb" });
        const canvas = element("canvas", "", { className: SIZE < 90 ? "coarse" : "" });
        canvas.setAttribute("aria-hidden", "true");
        button.append(canvas, element("span", map.name));
        button.dataset.thumb = thumbs.length;
        button.addEventListener("click", () => {
          state.a = [s, m];
          update();
          say(nameOf(state.a));
        });
        thumbs.push({ place: [s, m], button, canvas });
        at("all").append(button);
      });
    });
  }

  function markThumbs(anew) {
    for (const thumb of thumbs) {
      const chosen = thumb.place[0] === state.a[0] && thumb.place[1] === state.a[1];
      thumb.button.setAttribute("aria-pressed", chosen);
      if (anew) watch.observe(thumb.button);
    }
  }

  // ---- everything

  let turn = 0;
  async function update(anew = false) {
    const mine = ++turn;
    await Promise.all([state.a, state.b].filter(Boolean).map((place) => Maps.open(mapOf(place))));
    if (mine !== turn) return;
    fillChoice("a", state.a);
    fillChoice("b", state.b);
    for (const which of ["b", "d"]) at(`figure-${which}`).hidden = !state.b;
    at("figures").classList.toggle("three", !!state.b);
    drawMap(figures.a, state.a);
    if (state.b) {
      drawMap(figures.b, state.b);
      drawDifference();
    }
    const map = mapOf(state.a);
    at("text-heading").textContent = `In the text: ${nameOf(state.a)}`;
    at("lines").disabled = !DATA.sources.some((source) => source.maps.some((each) => each.lines.length));
    colourText(map);
    fillTable();
    for (const figure of Object.values(figures)) figure.mark(state.token);
    fillWhole();
    markThumbs(anew);
  }

  async function begin() {
    paint();
    at("scale").value = state.scale;
    at("all-help").textContent = "Choose one to look at.";
    buildText();
    buildThumbs();
    listen("a");
    listen("b");
    at("back").addEventListener("click", () => stepBy(-1));
    at("next").addEventListener("click", () => stepBy(1));
    at("scale").addEventListener("change", (event) => {
      state.scale = event.target.value;
      update(true);
    });
    at("lines").addEventListener("change", (event) => {
      state.hide = event.target.checked;
      update(true);
    });
    at("way").addEventListener("click", () => {
      state.queries = !state.queries;
      at("way").setAttribute("aria-pressed", state.queries);
      choose(state.token);
    });
    at("more").addEventListener("click", () => {
      state.whole = !state.whole;
      fillTable();
    });
    at("whole").addEventListener("toggle", fillWhole);
    at("theme").addEventListener("click", () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      paint();
      update(true);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      paint();
      update(true);
    });
    let waiting;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(update, 80);
    });
    await update(true);
    document.documentElement.dataset.ready = Math.round(performance.now());
  }

  begin();
})();
