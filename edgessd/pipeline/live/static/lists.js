// Detections, regions and events, and the tables of streams, stages and outputs.

const MOST_ROWS = 60;
const SHOW_EVERY_MS = 200; // faster changes can't be read

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export class Detections {
  constructor(byId, color) {
    this.list = byId("detections");
    this.count = byId("detection-count");
    this.nothing = byId("nothing");
    this.regions = byId("region-table");
    this.regionsCard = byId("regions-card");
    this.color = color;
    this.records = new Map();
    this.due = null;
  }

  show(record) {
    this.records.set(record.stream, record);
    this.due ??= setTimeout(() => {
      this.due = null;
      this.render();
    }, SHOW_EVERY_MS);
  }

  render() {
    const records = [...this.records.values()].sort((a, b) => a.stream - b.stream);
    const found = records.flatMap((record) => record.detections.map((each) => ({ ...each, stream: record.stream })));
    this.count.textContent = found.length;
    this.nothing.hidden = found.length > 0;
    const top = this.list.parentElement.scrollTop;
    this.list.replaceChildren(...found.slice(0, MOST_ROWS).map((each) => this.row(each, records.length > 1)));
    this.list.parentElement.scrollTop = top;
    const regions = records.flatMap((record) => record.regions.map((each) => ({ ...each, stream: record.stream })));
    this.regionsCard.hidden = regions.length === 0;
    fill(this.regions, ["", "in", "out", "inside"], regions.map((each) => [each.name, sum(each.entered), sum(each.left), each.kind === "zone" ? sum(each.inside) : "–"]));
  }

  row(each, several) {
    const dot = make("i");
    dot.style.background = this.color(each.label);
    const label = make("span", { className: "label" }, each.label);
    const extra = [each.track_id != null ? `#${each.track_id}` : "", several ? `stream ${each.stream + 1}` : ""].filter(Boolean);
    if (extra.length) label.append(make("small", { textContent: extra.join(" ") }));
    const bar = make("b");
    bar.style.width = `${each.score * 100}%`;
    const score = make("span", { className: "score", textContent: each.score.toFixed(2) });
    const row = make("li", { title: each.box.map(Math.round).join(", ") }, dot, label, make("span", { className: "track" }, bar), score);
    row.dataset.label = each.label;
    row.dataset.score = each.score;
    return row;
  }
}

function sum(counts) {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

const STAGES = {
  prepare: "preprocess",
  infer: "run the engine",
  finish: "postprocess",
  total: "all three",
  delay: "capture to result",
};

const WORDS = {
  appeared: (e) => `${e.label} #${e.track_id} appeared`,
  gone: (e) => `${e.label} #${e.track_id} is gone`,
  line_crossed: (e) => `${e.label} #${e.track_id} crossed ${e.region} (${e.direction})`,
  zone_entered: (e) => `${e.label} #${e.track_id} entered ${e.region}`,
  zone_left: (e) => `${e.label} #${e.track_id} left ${e.region}`,
};

export class Events {
  constructor(byId) {
    this.card = byId("events-card");
    this.list = byId("events");
    this.last = 0;
  }

  add(events) {
    for (const event of events) {
      if (event.number <= this.last) continue;
      this.last = event.number;
      const when = event.timestamp > 1e9 ? new Date(event.timestamp * 1000).toLocaleTimeString() : `${event.timestamp.toFixed(1)} s`;
      this.list.prepend(make("li", {}, make("time", { textContent: when }), WORDS[event.kind](event)));
      this.card.hidden = false;
    }
    while (this.list.children.length > MOST_ROWS) this.list.lastChild.remove();
  }
}

export function showStatus(byId, status) {
  byId("model").textContent = status.model;
  byId("figure-fps").textContent = (status.sample?.fps ?? status.fps).toFixed(1);
  const delay = status.sample?.delay_p50_ms;
  byId("figure-delay").textContent = delay == null ? "–" : delay.toFixed(0);
  byId("figure-viewers").textContent = status.viewers;
  byId("version").textContent = `edgessd ${status.version}`;
  byId("uptime").textContent = `· running for ${duration(status.uptime_seconds)} · ${status.frames.toLocaleString("en")} frames`;
  fill(
    byId("stream-table"),
    ["", "frames", "FPS", "delay p50", "p95", "dropped", "skipped", "reconnects"],
    status.streams.map((s) => [s.name, s.frames, s.fps.toFixed(1), ms(s.delay.p50_ms), ms(s.delay.p95_ms), s.dropped, s.skipped, s.reconnects]),
  );
  fill(
    byId("stage-table"),
    ["", "p50", "p95", "p99"],
    Object.entries(STAGES).filter(([name]) => name in status.stages).map(([name, words]) => [words, status.stages[name]]).map(([name, t]) => [name, ms(t.p50_ms), ms(t.p95_ms), ms(t.p99_ms)]),
  );
  fill(byId("sink-table"), ["", "written", "lost", ""], status.sinks.map((s) => [s.name, s.written, s.lost, s.failed ? { text: s.failed, kind: "reason" } : { text: "works", kind: "good" }]));
}

function fill(table, head, rows) {
  const cell = (value) => make("td", typeof value === "object" ? { textContent: value.text, className: value.kind } : { textContent: value });
  const titles = make("tr", {}, ...head.map((name) => make("th", { textContent: name, scope: "col" })));
  table.replaceChildren(make("thead", {}, titles), make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))));
}

function ms(value) {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}
