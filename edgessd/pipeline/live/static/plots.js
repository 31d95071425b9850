// Four small plots of the last ten minutes. Each point is one second.

const SECONDS = 600;
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [320, 110, 34, 14];
const SVG = "http://www.w3.org/2000/svg";

const PLOTS = [
  { title: "Frames a second", unit: "FPS", digits: 1, series: [["fps", "FPS"]] },
  {
    title: "Capture to result",
    unit: "ms",
    digits: 0,
    series: [
      ["delay_p50_ms", "p50"],
      ["delay_p95_ms", "p95"],
    ],
  },
  { title: "Dropped a second", unit: "frames", digits: 1, series: [["dropped", "dropped"]] },
  { title: "Temperature", unit: "°C", digits: 0, series: [["celsius", "°C"]], absent: "no sensor" },
];

export class Plots {
  constructor(root) {
    this.samples = [];
    this.plots = PLOTS.map((about) => new Plot(root, about));
  }

  begin(samples) {
    this.samples = samples;
    this.draw();
  }

  add(sample) {
    const last = this.samples[this.samples.length - 1];
    if (last && last.time === sample.time) return;
    this.samples.push(sample);
    if (this.samples.length > SECONDS) this.samples.shift();
    this.draw();
  }

  draw() {
    for (const plot of this.plots) plot.draw(this.samples);
  }
}

class Plot {
  constructor(root, about) {
    this.about = about;
    const card = document.createElement("section");
    card.className = "card plot";
    card.dataset.series = about.series[0][0];
    const title = Object.assign(document.createElement("h2"), { textContent: about.title });
    this.now = Object.assign(document.createElement("div"), { className: "now" });
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("role", "img");
    this.svg.setAttribute("aria-label", `${about.title}, the last ten minutes`);
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    card.append(title, this.now, this.svg);
    root.append(card);
    this.pointed = null; // position of the pointer as a fraction of the plot's width
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => {
      this.pointed = null;
      this.draw(this.samples);
    });
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    this.pointed = ((event.clientX - box.left) / box.width) * this.width;
    this.draw(this.samples);
  }

  // The viewBox follows the element's size, so that letters aren't stretched.
  get width() {
    return this.svg.clientWidth || WIDTH;
  }

  draw(samples) {
    this.samples = samples ?? [];
    const { series, digits, unit, absent } = this.about;
    const [width, height] = [this.width, this.svg.clientHeight || HEIGHT];
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const newest = this.samples[this.samples.length - 1];
    const begin = newest ? Math.max(this.samples[0].time, newest.time - SECONDS) : 0;
    const span = newest ? Math.max(newest.time - begin, 60) : 60;
    const x = (time) => LEFT + ((time - (newest.time - span)) / span) * (width - LEFT - 2);
    const values = series.flatMap(([key]) => this.samples.map((sample) => sample[key])).filter((v) => v !== null);
    const top = niceTop(values.length ? Math.max(...values) : 0);
    const y = (value) => height - BOTTOM - (value / top) * (height - BOTTOM - 6);
    const parts = [...(values.length || !absent ? grid(width, top, y) : []), text(LEFT, height - 1, `−${duration(span)}`, "start"), text(width - 2, height - 1, "now", "end")];
    series.forEach(([key], number) => parts.push(...curve(this.samples, key, number, x, y)));

    let shown = newest;
    if (this.pointed !== null && newest) {
      const time = newest.time - span + ((this.pointed - LEFT) / (width - LEFT - 2)) * span;
      shown = this.samples.reduce((best, each) => (Math.abs(each.time - time) < Math.abs(best.time - time) ? each : best));
      parts.push(line(x(shown.time), 6, x(shown.time), height - BOTTOM, "cursor"));
    }
    this.svg.replaceChildren(...parts);
    this.tell(shown, newest, series, digits, values.length || !absent ? unit : absent);
  }

  tell(sample, newest, series, digits, unit) {
    // The numbers have the colors of their curves.
    const numbers = series.map(([key], number) => {
      const value = sample?.[key] ?? null;
      const textContent = value === null ? "–" : value.toFixed(digits);
      return Object.assign(document.createElement("span"), { textContent, className: series.length > 1 ? `text${number}` : "" });
    });
    const ago = sample && sample !== newest ? `, ${duration(newest.time - sample.time)} ago` : "";
    const small = Object.assign(document.createElement("small"), { textContent: unit + ago });
    const names = Object.assign(document.createElement("small"), { className: "names", textContent: series.map(([, name]) => name).join(" · ") });
    this.now.replaceChildren(...numbers.flatMap((each, number) => (number ? [" · ", each] : [each])), small, ...(series.length > 1 ? [names] : []));
  }
}

function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value * 1.05));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((top) => top >= value * 1.05);
}

function duration(seconds) {
  return seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds)} s`;
}

function grid(width, top, y) {
  return [0, 0.5, 1].flatMap((part) => {
    const label = top * part;
    const height = y(label);
    return [line(LEFT, height, width - 2, height, "grid"), text(LEFT - 6, height + 3.5, trimmed(label), "end")];
  });
}

function trimmed(value) {
  return value >= 1000 ? `${Number((value / 1000).toFixed(1))}k` : String(Number(value.toFixed(2)));
}

// A second without a value leaves a gap.
function curve(samples, key, number, x, y) {
  const runs = [];
  let run = null;
  for (const sample of samples) {
    if (sample[key] === null) run = null;
    else {
      if (!run) runs.push((run = []));
      run.push([x(sample.time), y(sample[key])]);
    }
  }
  return runs.flatMap((points) => {
    const path = points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
    const drawn = element("polyline", { points: path, class: `curve series${number}` });
    if (number) return [drawn];
    const [first, last] = [points[0][0].toFixed(1), points[points.length - 1][0].toFixed(1)];
    const area = `${first},${y(0)} ${path} ${last},${y(0)}`;
    return [element("polygon", { points: area, class: `area series${number}` }), drawn];
  });
}

function line(x1, y1, x2, y2, name) {
  return element("line", { x1, y1, x2, y2, class: name });
}

function text(x, y, words, anchor) {
  const made = element("text", { x, y, "text-anchor": anchor });
  made.textContent = words;
  return made;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
