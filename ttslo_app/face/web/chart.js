// Draws one pair: its price, thresholds, stops as they ratchet, and what happened to its orders.
// It keeps what it was told, so that a page that lost the program for a while shows no less.

const SVG = "http://www.w3.org/2000/svg";
const MOST = 600, HEIGHT = 224, LEFT = 8, RIGHT = 74, TOP = 12, BOTTOM = 22;

const made = (name, attributes = {}, text = "") => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
};

export const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour12: false });

// Joins two lines by time; where both have a point of one moment, there is one.
function joined(old, fresh) {
  if (!fresh.length) return old;
  if (!old.length || fresh.length === 1) {
    if (old.length && fresh[0][0] <= old[old.length - 1][0]) return old;
    old.push(...fresh);
  } else {
    const all = new Map([...old, ...fresh].map((point) => [point[0], point]));
    old = [...all.values()].sort((a, b) => a[0] - b[0]);
  }
  return old.length > MOST ? old.slice(-MOST) : old;
}

const steps = (points, x, y, end) => {
  let path = "";
  points.forEach(([at, price], n) => {
    path += n ? `H${x(at)}V${y(price)}` : `M${x(at)} ${y(price)}`;
  });
  return end === undefined ? path : `${path}H${x(end)}`;
};

const short = (price) => Number(price.toPrecision(7)).toString();

export class Chart {
  constructor(pair) {
    this.pair = pair;
    this.points = [];
    this.stops = new Map();
    this.levels = [];
    this.marks = [];
    this.chosen = null;
    this.figure = document.createElement("figure");
    this.figure.tabIndex = 0;
    this.figure.dataset.pair = pair;
    this.figure.setAttribute("role", "group");
    const caption = document.createElement("figcaption");
    const name = document.createElement("span");
    name.textContent = pair;
    this.legend = document.createElement("span");
    this.legend.className = "legend";
    caption.append(name, this.legend);
    this.svg = made("svg", { class: "chart", "aria-hidden": "true" });
    this.width = 320;
    this.isSeen = false; // what nobody sees is not drawn: there may be a hundred of them
    this.drawn = "";
    new ResizeObserver(() => this.draw()).observe(this.svg);
    new IntersectionObserver(([seen]) => {
      this.isSeen = seen.isIntersecting;
      this.draw();
    }, { rootMargin: "300px" }).observe(this.figure);
    this.said = document.createElement("output");
    this.figure.append(caption, this.svg, this.said);
    this.figure.addEventListener("keydown", (event) => this.onKey(event));
    this.figure.addEventListener("blur", () => this.choose(null));
    this.svg.addEventListener("pointermove", (event) => this.onPointer(event));
    this.svg.addEventListener("pointerleave", () => this.choose(null));
  }

  take(told) {
    this.points = joined(this.points, told.points);
    this.levels = told.levels;
    for (const [txid, stop] of Object.entries(told.stops)) {
      const known = this.stops.get(txid) ?? { row: stop.row, points: [] };
      known.points = joined(known.points, stop.points);
      this.stops.set(txid, known);
    }
    const key = (mark) => `${mark.at} ${mark.kind} ${mark.row}`;
    const known = new Set(this.marks.map(key));
    this.marks.push(...told.marks.filter((mark) => !known.has(key(mark))));
    this.marks = this.marks.slice(-50);
    const ends = [...this.stops.values()].map((stop) => stop.points.at(-1));
    const now = JSON.stringify([this.points.at(-1), this.points.length, this.levels, this.marks.length, ends]);
    if (now !== this.drawn) this.draw();
    if (this.isSeen) this.drawn = now;
  }

  draw() {
    const { points, svg } = this;
    if (!this.isSeen) return;
    svg.replaceChildren();
    if (!points.length) return;
    this.width = Math.max(240, svg.clientWidth);
    svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const [x, y, range] = this.scales();
    this.drawAxes(x, y, range);
    const end = range[1];
    for (const [row, level] of this.levels) {
      svg.append(made("line", { class: "level", x1: LEFT, x2: this.width - RIGHT, y1: y(level), y2: y(level) }));
      svg.append(made("text", { class: "level-name", x: LEFT + 2, y: y(level) - 3 }, `${row} ${short(level)}`));
    }
    svg.append(made("path", { class: "price", d: steps(points, x, y) }));
    for (const [txid, stop] of this.stops) {
      if (!stop.points.length || stop.points[stop.points.length - 1][0] < range[0]) continue;
      svg.append(made("path", { class: "stop", "data-order": txid, "data-points": stop.points.length, d: steps(stop.points, x, y) }));
      const [at, price] = stop.points[stop.points.length - 1];
      svg.append(made("text", { class: "stop-name", x: x(at) - 2, y: y(price) + 13, "text-anchor": x(at) > 90 ? "end" : "start" }, `stop ${short(price)}`));
    }
    for (const mark of this.marks) {
      if (mark.at < range[0]) continue;
      const kind = mark.kind === "order filled" ? "mark filled" : mark.kind === "order placed" ? "mark" : "mark bad";
      const dot = made("circle", { class: kind, cx: x(Math.min(mark.at, end)), cy: y(mark.price), r: 5, "data-kind": mark.kind });
      dot.append(made("title", {}, `${mark.row}: ${mark.kind} ${clock(mark.at)}`));
      svg.append(dot);
    }
    if (this.chosen !== null) {
      const at = x(points[this.chosen][0]);
      svg.append(made("line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    const last = points[points.length - 1];
    this.legend.textContent = `${short(last[1])} at ${clock(last[0])}`;
    this.figure.setAttribute("aria-label", `${this.pair}, ${short(last[1])}, ${this.levels.length} thresholds, ${this.stops.size} stops`);
  }

  scales() {
    const first = this.points[0][0];
    let last = this.points[this.points.length - 1][0];
    const prices = this.points.map((point) => point[1]);
    let low = Math.min(...prices), high = Math.max(...prices);
    for (const stop of this.stops.values()) for (const [at, price] of stop.points) {
      if (at >= first) { low = Math.min(low, price); high = Math.max(high, price); last = Math.max(last, at); }
    }
    // A threshold far away would press the price flat: those within three of its spans are shown.
    const span = Math.max(high - low, high * 0.0005) * 3;
    for (const [, level] of this.levels) {
      if (level > low - span && level < high + span) { low = Math.min(low, level); high = Math.max(high, level); }
    }
    const room = Math.max((high - low) * 0.08, high * 0.0001);
    const least = low - room, most = high + room, length = Math.max(last - first, 1);
    const x = (at) => +(LEFT + ((Math.max(at, first) - first) / length) * (this.width - LEFT - RIGHT)).toFixed(1);
    const y = (price) => +(TOP + ((most - price) / (most - least)) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
    return [x, y, [first, last, least, most]];
  }

  drawAxes(x, y, [first, last, least, most]) {
    for (let n = 0; n < 4; n += 1) {
      const price = least + ((most - least) * (n + 0.5)) / 4;
      this.svg.append(made("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y(price), y2: y(price) }));
      this.svg.append(made("text", { x: this.width - RIGHT + 4, y: y(price) + 4 }, short(price)));
    }
    this.svg.append(made("text", { x: LEFT, y: HEIGHT - 6 }, clock(first)));
    this.svg.append(made("text", { x: this.width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, clock(last)));
  }

  choose(index) {
    this.chosen = index === null || !this.points.length ? null : Math.max(0, Math.min(index, this.points.length - 1));
    if (this.chosen === null) this.said.textContent = "";
    else {
      const [at, price] = this.points[this.chosen];
      const stops = [...this.stops.values()].map((stop) => {
        const before = stop.points.filter((point) => point[0] <= at + 1);
        return before.length ? `, stop of ${stop.row} ${short(before[before.length - 1][1])}` : "";
      });
      this.said.textContent = `${clock(at)}: ${short(price)}${stops.join("")}`;
    }
    this.draw();
  }

  onKey(event) {
    const last = this.points.length - 1, now = this.chosen ?? last;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, Escape: null }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.choose(next);
  }

  onPointer(event) {
    if (!this.points.length) return;
    const box = this.svg.getBoundingClientRect();
    const [x] = this.scales();
    const at = ((event.clientX - box.left) / box.width) * this.width;
    let best = 0;
    this.points.forEach((point, n) => {
      if (Math.abs(x(point[0]) - at) < Math.abs(x(this.points[best][0]) - at)) best = n;
    });
    this.choose(best);
  }
}
