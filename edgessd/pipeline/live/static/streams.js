// One card for each stream: the annotated picture, its name, its measurements.

const ICONS = {
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5 19 12 7 19.5z",
  save: "M12 4v11m0 0 4.5-4.5M12 15l-4.5-4.5M5 20h14",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
};

function iconButton(name, title) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `icon ${name}`;
  setIcon(button, name, title);
  return button;
}

function setIcon(button, name, title) {
  button.title = title;
  button.setAttribute("aria-label", title);
  button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[name]}" fill="none"
    stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
}

// Return a file's name without its folders; cameras and URLs stay unchanged.
function shortName(name) {
  return name.includes("://") ? name : name.split("/").filter(Boolean).pop() ?? name;
}

class Card {
  constructor(number, changed) {
    this.number = number;
    this.paused = false;
    this.root = document.createElement("article");
    this.root.className = "stream";
    this.root.dataset.stream = number;
    this.canvas = document.createElement("canvas");
    this.canvas.width = 16;
    this.canvas.height = 9;
    this.canvas.setAttribute("role", "img");
    this.notice = document.createElement("div");
    this.notice.className = "notice";
    this.notice.textContent = "Waiting for the first picture";
    const caption = document.createElement("div");
    caption.className = "caption";
    this.name = Object.assign(document.createElement("span"), { className: "name" });
    this.numbers = Object.assign(document.createElement("span"), { className: "numbers" });
    const spacer = Object.assign(document.createElement("span"), { className: "spacer" });
    const pause = iconButton("pause", "Hold this picture");
    pause.addEventListener("click", (event) => {
      event.stopPropagation();
      this.paused = !this.paused;
      setIcon(pause, this.paused ? "play" : "pause", this.paused ? "Go on" : "Hold this picture");
      changed();
    });
    const save = iconButton("save", "Save this picture");
    save.addEventListener("click", (event) => {
      event.stopPropagation();
      this.save();
    });
    const full = iconButton("full", "Fill the screen");
    full.addEventListener("click", (event) => {
      event.stopPropagation();
      if (document.fullscreenElement) document.exitFullscreen();
      else this.root.requestFullscreen?.();
    });
    caption.append(this.name, this.numbers, spacer, pause, save, full);
    this.root.append(this.canvas, this.notice, caption);
  }

  async draw(record, jpeg) {
    const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    this.canvas.dataset.frame = record.frame;
    this.size = `${record.width}×${record.height}`;
    if (!this.away) this.notice.hidden = true;
  }

  describe(stream) {
    this.name.textContent = shortName(stream.name);
    this.name.title = stream.name;
    this.canvas.setAttribute("aria-label", `Annotated picture of ${stream.name}`);
    this.numbers.textContent = `${this.size ?? ""}  ${stream.fps.toFixed(1)} FPS`;
    this.away = !stream.connected;
    if (this.away) this.tell("The connection is lost. Trying to connect again.");
    else if (this.canvas.dataset.frame !== undefined) this.notice.hidden = true;
  }

  tell(text) {
    this.notice.textContent = text;
    this.notice.hidden = false;
  }

  save() {
    this.canvas.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `edgessd-${this.number}-${this.canvas.dataset.frame ?? 0}.png`;
      link.click();
      URL.revokeObjectURL(link.href);
    }, "image/png");
  }
}

export class Streams {
  constructor(root, send) {
    this.root = root;
    this.send = send;
    this.cards = [];
    this.chosen = null;
  }

  describe(streams) {
    while (this.cards.length < streams.length) {
      const card = new Card(this.cards.length, () => this.watch());
      card.root.addEventListener("click", () => this.choose(card));
      this.cards.push(card);
      this.root.append(card.root);
      if (this.cards.length === streams.length) this.watch();
    }
    streams.forEach((stream, number) => this.cards[number].describe(stream));
  }

  // One of several streams can be shown large, with the others below it.
  choose(card) {
    if (this.cards.length < 2) return;
    this.chosen = this.chosen === card ? null : card;
    this.root.classList.toggle("focused", this.chosen !== null);
    for (const each of this.cards) each.root.classList.toggle("chosen", each === this.chosen);
  }

  // Tell the server which streams are visible. It then resets its count of pictures under way.
  watch() {
    const seen = document.hidden ? [] : this.cards.filter((card) => !card.paused);
    this.send({ type: "watch", streams: seen.map((card) => card.number) });
  }

  async draw(record, jpeg) {
    const card = this.cards[record.stream];
    if (card && !card.paused) await card.draw(record, jpeg);
    this.send({ type: "drawn", stream: record.stream });
  }

  lost() {
    for (const card of this.cards) card.tell("No connection to the board; trying again.");
  }
}
