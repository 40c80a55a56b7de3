// A film that can be looked at closely and drawn on: zoom, brightness, contrast, inversion; boxes, points, arrows.
// Marks are shares of the film's width and height, so they hold at any size.
import { element } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.01;

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const share = (value) => `${(100 * value).toFixed(3)}%`;
const within = (value) => Math.min(1, Math.max(0, Math.round(1e5 * value) / 1e5));

export class Stage {
  // figure: an empty element. whole: the film in full, taken when it is looked at closely; picture may be a small one.
  // marks: drawings as the server has them. onchange: called after a mark was drawn or moved.
  constructor(figure, { picture, whole = picture, alt, marks = [], given = [], film = 0, draw = "", onchange = () => {} }) {
    Object.assign(this, { figure, film, marks, given, draw, onchange, zoom: 1, light: 1, contrast: 1, inverted: false });
    this.image = element("img", { loading: "lazy", src: picture, alt, draggable: false, class: "stage-film" });
    this.whole = whole;
    this.overlay = shape("svg", { class: "stage-marks", "aria-hidden": "true" });
    this.inner = element("div", { class: "stage-inner" }, this.image);
    this.image.addEventListener("load", () => this.inner.style.setProperty("--ratio", this.image.naturalWidth / this.image.naturalHeight));
    this.inner.append(this.overlay);
    this.room = element("div", { class: "stage-room", tabindex: "0", role: "group", "aria-label": `${alt}. Keys: plus and minus zoom, i inverts, r resets` }, this.inner);
    const tool = (name, label, act) => element("button", { type: "button", "aria-label": label, title: label, onclick: act }, name);
    this.tools = element("div", { class: "stage-tools" },
      tool("+", "Zoom in", () => this.set({ zoom: this.zoom * 1.5 })), tool("−", "Zoom out", () => this.set({ zoom: this.zoom / 1.5 })),
      tool("☀", "Brighter", () => this.set({ light: this.light * 1.2 })), tool("☾", "Darker", () => this.set({ light: this.light / 1.2 })),
      tool("◐", "More contrast", () => this.set({ contrast: this.contrast * 1.2 })), tool("◑", "Less contrast", () => this.set({ contrast: this.contrast / 1.2 })),
      tool("⇄", "Invert", () => this.set({ inverted: !this.inverted })), tool("↺", "As it was", () => this.reset()));
    figure.classList.add("film-stage");
    figure.replaceChildren(this.room, this.tools);
    this.listen();
    this.paint();
  }

  set(changes) {
    Object.assign(this, changes);
    this.zoom = Math.min(8, Math.max(1, this.zoom));
    this.inner.style.setProperty("--zoom", this.zoom);
    this.image.style.filter = `brightness(${this.light}) contrast(${this.contrast})${this.inverted ? " invert(1)" : ""}`;
    this.room.classList.toggle("zoomed", this.zoom > 1);
  }

  // Take the film in full in place of a small picture of it.
  enlarge() { if (this.image.getAttribute("src") !== this.whole) this.image.src = this.whole; }

  // What lies under a point of the screen stays there.
  zoomAt(x, y, factor) {
    const room = this.room.getBoundingClientRect(), before = this.inner.getBoundingClientRect();
    const across = (x - before.left) / before.width, down = (y - before.top) / before.height;
    this.set({ zoom: this.zoom * factor });
    const { width, height } = this.inner.getBoundingClientRect();
    this.room.scrollLeft = across * width - (x - room.left);
    this.room.scrollTop = down * height - (y - room.top);
  }

  reset() { this.set({ zoom: 1, light: 1, contrast: 1, inverted: false }); }

  listen() {
    const at = (event) => {
      const box = this.overlay.getBoundingClientRect();
      return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
    };
    let begun = null;
    this.overlay.addEventListener("pointerdown", (event) => {
      if (!this.draw || event.button) return;
      event.preventDefault();
      this.overlay.setPointerCapture(event.pointerId);
      begun = at(event);
      this.pending = { shape: this.draw === "mark" ? "box" : this.draw, film: this.film, points: [begun, begun], text: "" };
    });
    this.overlay.addEventListener("pointermove", (event) => {
      if (!begun) return;
      this.pending.points = [begun, at(event)];
      this.paint();
    });
    const end = () => {
      if (!begun) return;
      const [[ax, ay], [bx, by]] = this.pending.points;
      if (Math.hypot(ax - bx, ay - by) < 0.015) {
        if (this.draw === "mark") this.add({ shape: "point", film: this.film, points: [[bx, by]], text: "" });
      } else this.add(this.pending);
      begun = this.pending = null;
      this.paint();
    };
    this.overlay.addEventListener("pointerup", end);
    this.overlay.addEventListener("pointercancel", () => { begun = this.pending = null; this.paint(); });
    this.room.addEventListener("keydown", (event) => this.key(event));
    let gap = 0; // between two fingers, which zoom; one scrolls, or draws
    this.room.addEventListener("touchmove", (event) => {
      if (event.touches.length !== 2) return;
      event.preventDefault();
      begun = this.pending = null;
      const [one, two] = event.touches, now = Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
      if (gap) this.zoomAt((one.clientX + two.clientX) / 2, (one.clientY + two.clientY) / 2, now / gap);
      gap = now;
    }, { passive: false });
    this.room.addEventListener("touchend", () => { gap = 0; });
  }

  key(event) {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const last = this.marks.at(-1);
    if (event.key === "+" || event.key === "=") this.set({ zoom: this.zoom * 1.5 });
    else if (event.key === "-") this.set({ zoom: this.zoom / 1.5 });
    else if (event.key === "i") this.set({ inverted: !this.inverted });
    else if (event.key === "r") this.reset();
    else if (this.draw && event.key === "Enter") this.add({ shape: this.draw === "arrow" ? "arrow" : "box", film: this.film, points: [[0.4, 0.4], [0.6, 0.6]], text: "" });
    else if (this.draw && last && (event.key === "Delete" || event.key === "Backspace")) this.undo();
    else if (this.draw && last && moves[event.key]) {
      const [dx, dy] = moves[event.key];
      last.points = last.points.map(([x, y], number) => (event.shiftKey && number === 0 && last.points.length > 1 ? [x, y] : [within(x + dx), within(y + dy)]));
      this.paint();
      this.onchange();
    } else return;
    event.preventDefault();
  }

  add(mark) {
    if (this.draw === "mark") this.marks.length = 0; // a student draws one mark on a film
    this.marks.push(mark);
    this.paint();
    this.onchange();
  }

  undo() {
    this.marks.pop();
    this.paint();
    this.onchange();
  }

  paint() {
    const drawn = [...this.given.map((mark) => [mark, "given"]), ...[...this.marks, this.pending].filter(Boolean).map((mark) => [mark, "own"])];
    this.overlay.replaceChildren(...drawn.flatMap(([mark, kind]) => this.shapes(mark, kind)));
  }

  shapes(mark, kind) {
    const xs = mark.points.map(([x]) => x), ys = mark.points.map(([, y]) => y);
    const [x, y] = mark.points.at(-1);
    const made = [];
    if (mark.shape === "box") made.push(shape("rect", { x: share(Math.min(...xs)), y: share(Math.min(...ys)), width: share(Math.max(...xs) - Math.min(...xs)), height: share(Math.max(...ys) - Math.min(...ys)), class: kind }));
    else if (mark.shape === "point") made.push(shape("circle", { cx: share(x), cy: share(y), r: 9, class: kind }));
    else made.push(shape("line", { x1: share(xs[0]), y1: share(ys[0]), x2: share(x), y2: share(y), class: kind }), shape("circle", { cx: share(x), cy: share(y), r: 5, class: `${kind} tip` }));
    if (mark.text) {
      const words = shape("text", { x: share(Math.min(...xs)), y: share(Math.max(0.03, Math.min(...ys) - 0.01)), class: kind });
      words.textContent = mark.text;
      made.push(words);
    }
    return made;
  }
}
