// The threshold and the classes. All viewers share them: a change by one shows at all.

const FEW = 12;
const ALL = Symbol("all classes"); // equal to no label

export class Controls {
  constructor(byId) {
    this.slider = byId("threshold");
    this.value = byId("threshold-value");
    this.chips = byId("classes");
    this.search = byId("class-search");
    this.more = byId("more-classes");
    this.problem = byId("problem");
    this.labels = [];
    this.seen = [];
    this.made = new Map();
    this.colors = new Map();
    this.classes = null; // null: all classes
    this.all = false;
    this.dragging = false;
    this.waiting = null; // values to send after the answer to the present request
    this.busy = false;

    this.slider.addEventListener("input", () => {
      this.dragging = true;
      this.showThreshold(Number(this.slider.value));
      this.change({ score_threshold: Number(this.slider.value) });
    });
    this.slider.addEventListener("change", () => (this.dragging = false));
    this.search.addEventListener("input", () => this.render());
    this.more.addEventListener("click", () => {
      this.all = !this.all;
      this.render();
    });
  }

  async load() {
    const answer = await fetch("api/controls");
    if (!answer.ok) return;
    const values = await answer.json();
    this.labels = values.labels;
    this.made.clear();
    this.colors = new Map(values.labels.map(({ name, color }) => [name, color]));
    this.seen = this.seen.filter((label) => this.colors.has(label)); // after a restart with another model
    this.search.hidden = this.labels.length <= FEW;
    this.slider.disabled = false;
    this.follow(values, {});
    this.render();
  }

  color(label) {
    return this.colors.get(label) ?? "gray";
  }

  follow(values, framesWith) {
    if (!this.dragging && !this.busy && !this.waiting) {
      this.slider.value = values.score_threshold;
      this.showThreshold(values.score_threshold);
      const before = JSON.stringify(this.classes && [...this.classes]);
      this.classes = values.classes && new Set(values.classes);
      if (JSON.stringify(this.classes && [...this.classes]) !== before) this.render();
    }
    const fresh = Object.keys(framesWith).filter((label) => !this.seen.includes(label));
    if (fresh.length) {
      this.seen.push(...fresh); // in the order of their first detection, so that no chip moves
      this.render();
    }
  }

  showThreshold(value) {
    this.value.textContent = value.toFixed(2);
  }

  render() {
    const words = this.search.value.trim().toLowerCase();
    const rest = this.labels.map(({ name }) => name).filter((name) => !this.seen.includes(name));
    let names = [...this.seen, ...rest];
    if (words) names = names.filter((name) => name.toLowerCase().includes(words));
    const cut = !words && !this.all && names.length > FEW;
    const chosen = names.filter((name) => this.classes?.has(name));
    this.more.hidden = Boolean(words) || this.labels.length <= FEW;
    this.more.textContent = this.all ? "Fewer" : `All ${this.labels.length} classes`;
    if (cut) names = [...new Set([...names.slice(0, FEW), ...chosen])];
    const chips = [
      this.chip(ALL, this.classes === null),
      ...names.map((name) => this.chip(name, this.classes?.has(name) ?? false)),
    ];
    // Only on a change: a chip that is being pressed must stay in its place.
    const before = [...this.chips.children];
    if (before.length !== chips.length || chips.some((chip, at) => chip !== before[at])) {
      this.chips.replaceChildren(...chips);
    }
  }

  chip(name, pressed) {
    let chip = this.made.get(name);
    if (!chip) {
      chip = document.createElement("button");
      chip.type = "button";
      chip.className = "chip";
      if (this.colors.has(name)) {
        const dot = document.createElement("i");
        dot.style.background = this.color(name);
        chip.append(dot);
      }
      chip.append(name === ALL ? "All" : name);
      chip.addEventListener("click", () => (name === ALL ? this.choose(null) : this.toggle(name)));
      this.made.set(name, chip);
    }
    chip.setAttribute("aria-pressed", pressed);
    return chip;
  }

  // The first chosen class is shown alone. If none is chosen any more, all are shown.
  toggle(name) {
    const classes = new Set(this.classes ?? []);
    if (!classes.delete(name)) classes.add(name);
    this.choose(classes.size ? classes : null);
  }

  choose(classes) {
    this.classes = classes;
    this.render();
    this.change({ classes: classes && [...classes] });
  }

  // One request at a time; meanwhile newer values replace older ones.
  async change(values) {
    this.waiting = { ...this.waiting, ...values };
    if (this.busy) return;
    this.busy = true;
    while (this.waiting) {
      const body = JSON.stringify(this.waiting);
      this.waiting = null;
      try {
        const headers = { "Content-Type": "application/json" };
        const answer = await fetch("api/controls", { method: "POST", headers, body });
        const reply = await answer.json();
        this.problem.hidden = answer.ok;
        if (!answer.ok) this.problem.textContent = reply.error.problem;
      } catch {
        this.problem.hidden = false;
        this.problem.textContent = "The board doesn't answer; nothing was changed.";
      }
    }
    this.busy = false;
  }
}
