// A radiograph to work with: window and level, zoom, pan, flip, invert, lengths, evidence on top; several linked to move together.
import { between, drawLines, drawMarks, heartAndChest, lineAt, words } from "./lines.js";

const SIDE = 1024; // long side of the quick picture; the whole film is fetched when the zoom asks for it
const FULL = 4096;
const STEP = 0.02; // of the film's width or height, by which a key moves a box

const PLAIN = new OffscreenCanvas(1, 1).getContext("2d"); // to ask whether a point is in a path

async function pixels(url, signal) {
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw new Error(`film ${answer.status}`);
  const bitmap = await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

export class Pane {
  constructor(figure, onchange = () => {}) {
    this.figure = figure;
    this.canvas = figure.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.columns = Number(figure.dataset.columns);
    this.rows = Number(figure.dataset.rows);
    this.spacing = Number(figure.dataset.spacing) || 0; // millimetres between two pixels
    this.lines = [];
    this.onchange = onchange;
    this.overlay = null;
    this.pointed = []; // outlines of what is pointed at elsewhere, as in the report
    this.boxes = [];
    this.marks = JSON.parse(figure.dataset.marks || "[]"); // of a file that came with the film
    this.marking = false; // whether they are shown
    this.picking = null;
    this.reset(false);
    this.ready = this.show(figure.dataset.film);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.listen();
  }

  async show(url) {
    this.url = url;
    this.full = false;
    this.figure.classList.add("loading");
    const deep = this.figure.dataset.depth === "16";
    try {
      this.take(await pixels(deep ? `${url}?side=${SIDE}&depth=16` : `${url}?side=${SIDE}`), deep);
      this.figure.dataset.state = "ready";
    } catch {
      this.figure.dataset.state = "failed";
    }
    this.figure.classList.remove("loading");
  }

  take(picture, deep) {
    const count = picture.width * picture.height;
    const values = new Uint16Array(count);
    for (let at = 0; at < count; at++) {
      values[at] = deep ? (picture.data[4 * at] << 8) | picture.data[4 * at + 1] : picture.data[4 * at] * 257;
    }
    this.film = { width: picture.width, height: picture.height, values };
    this.shown = new OffscreenCanvas(picture.width, picture.height);
    this.window();
  }

  async sharpen() {
    if (this.full || !this.film || Math.max(this.rows, this.columns) <= SIDE) return;
    this.full = true;
    const url = this.url, deep = this.figure.dataset.depth === "16";
    try {
      const picture = await pixels(deep ? `${url}?side=${FULL}&depth=16` : `${url}?side=${FULL}`);
      if (url === this.url) this.take(picture, deep);
    } catch { this.full = false; }
  }

  // -- state: level and width of the window in [0, 1]; zoom relative to fit; x, y: middle of the view in the film, [0, 1]

  reset(tell = true) {
    this.state = { level: 0.5, width: 1, invert: false, flip: false, zoom: 1, x: 0.5, y: 0.5 };
    this.lines = [];
    if (tell) this.changed();
  }

  set(change, tell = true) {
    const next = { ...this.state, ...change };
    next.zoom = Math.min(Math.max(next.zoom, 0.5), 40);
    next.width = Math.min(Math.max(next.width, 0.02), 2);
    next.level = Math.min(Math.max(next.level, -0.5), 1.5);
    next.x = Math.min(Math.max(next.x, 0), 1);
    next.y = Math.min(Math.max(next.y, 0), 1);
    const grey = ["level", "width", "invert"].some((name) => next[name] !== this.state[name]);
    this.state = next;
    if (grey) this.window(); else this.draw();
    if (this.scale() * this.film?.width > 1.2 * this.film?.width * (devicePixelRatio || 1) * 0.5) this.sharpen();
    if (tell) this.onchange(this);
  }

  changed() { this.window(); this.onchange(this); }

  fit() { this.set({ zoom: 1, x: 0.5, y: 0.5 }); }

  actual() { // one pixel of the film is one pixel of the screen
    this.set({ zoom: 1 / (this.base() * (devicePixelRatio || 1)) });
    this.sharpen();
  }

  base() { // screen pixels (CSS) for a film pixel at zoom 1
    const box = this.canvas.getBoundingClientRect();
    return Math.min(box.width / this.columns, box.height / this.rows) || 1;
  }

  scale() { return this.base() * this.state.zoom; }

  side() { return this.state.flip ? -1 : 1; }

  place(event) { // film coordinates, [0, 1]
    const box = this.canvas.getBoundingClientRect(), scale = this.scale();
    return {
      x: this.state.x + this.side() * (event.clientX - box.left - box.width / 2) / (scale * this.columns),
      y: this.state.y + (event.clientY - box.top - box.height / 2) / (scale * this.rows),
    };
  }

  // -- drawing

  window() {
    if (!this.film) return;
    const { level, width, invert } = this.state;
    const table = new Uint8ClampedArray(65536);
    const low = level - width / 2;
    for (let value = 0; value < 65536; value++) {
      const grey = ((value / 65535 - low) / width) * 255;
      table[value] = invert ? 255 - Math.min(Math.max(grey, 0), 255) : grey;
    }
    const { values } = this.film;
    const picture = new ImageData(this.film.width, this.film.height);
    const words = new Uint32Array(picture.data.buffer);
    for (let at = 0; at < values.length; at++) words[at] = 0xff000000 | (table[values[at]] * 0x010101);
    this.shown.getContext("2d").putImageData(picture, 0, 0);
    this.draw();
  }

  draw() {
    const ratio = devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const pen = this.context;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!this.shown) return;
    const scale = this.scale() * ratio;
    const side = this.side();
    pen.setTransform(side * scale, 0, 0, scale, width / 2 - side * this.state.x * this.columns * scale, height / 2 - this.state.y * this.rows * scale);
    pen.imageSmoothingEnabled = scale * (this.columns / this.film.width) < 3;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.shown, 0, 0, this.columns, this.rows);
    if (this.overlay) this.drawOverlay(pen, scale / ratio);
    this.drawOutlines(pen, this.pointed, scale / ratio, "#ff8ad1");
    for (const box of this.boxes) this.drawBox(pen, box, scale / ratio);
    if (this.marking) drawMarks(pen, this, scale / ratio);
    drawLines(pen, this, scale / ratio);
  }

  measured() { return [this.marking ? this.figure.dataset.markWords : "", words(this)].filter(Boolean).join(" · "); }

  ruler(on) { this.tool = on ? "ruler" : ""; if (on) this.canvas.focus(); }

  ratio(on) {
    this.lines = this.lines.filter((line) => line.kind === "ruler");
    if (on) this.lines.push(...heartAndChest());
    this.draw();
    this.onchange(this);
  }

  drawOverlay(pen, scale) {
    const { image, outlines, opacity, contours } = this.overlay;
    if (image && opacity > 0) {
      pen.globalAlpha = opacity;
      pen.imageSmoothingEnabled = true;
      pen.drawImage(image, 0, 0, this.columns, this.rows);
      pen.globalAlpha = 1;
    }
    if (contours) this.drawOutlines(pen, outlines, scale, "#ffd54a");
  }

  drawOutlines(pen, outlines, scale, strongest) {
    outlines.forEach((path, row) => {
      for (const [colour, wide] of [["#000", 4.5], [row ? "#e9eef2" : strongest, row ? 1.75 : 3]]) {
        pen.lineWidth = wide / scale;
        pen.setLineDash(row && colour !== "#000" ? [7 / scale, 4 / scale] : []);
        pen.strokeStyle = colour;
        pen.stroke(new Path2D(path));
      }
    });
    pen.setLineDash([]);
  }

  drawBox(pen, box, scale) {
    for (const [colour, wide] of [["#000", 4], [box.colour || "#5cc6d3", 2]]) {
      pen.lineWidth = wide / scale;
      pen.strokeStyle = colour;
      pen.strokeRect(box.x * this.columns, box.y * this.rows, box.width * this.columns, box.height * this.rows);
    }
  }

  isOver(event) { // whether the pointer is in the strongest region of the evidence drawn
    const [path] = this.overlay?.outlines ?? [], at = this.place(event);
    return Boolean(path) && PLAIN.isPointInPath(new Path2D(path), at.x * this.columns, at.y * this.rows);
  }

  // -- hands: drag is the window, with Shift or the right button it moves; the wheel zooms; two fingers do both

  listen() {
    const held = new Map();
    let before = null, start = null, grip = null;
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, event);
      const plain = held.size === 1 && !event.shiftKey && event.button === 0;
      start = this.picking && plain ? this.place(event) : null;
      grip = plain && !start ? lineAt(this, event) : null;
      if (plain && !start && !grip && this.tool === "ruler") {
        const at = this.place(event), line = { kind: "ruler", a: at, b: { ...at } };
        this.lines = [...this.lines.filter((each) => each.kind !== "ruler"), line];
        grip = { line, end: "b", moved: false };
      }
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last) return;
      const dx = event.clientX - last.clientX, dy = event.clientY - last.clientY;
      held.set(event.pointerId, event);
      if (held.size === 2) {
        const [one, two] = [...held.values()];
        const now = { gap: Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY), x: (one.clientX + two.clientX) / 2, y: (one.clientY + two.clientY) / 2 };
        if (before) {
          this.move(now.x - before.x, now.y - before.y);
          this.zoomAt({ clientX: now.x, clientY: now.y }, now.gap / before.gap);
        }
        before = now;
      } else if (start) {
        const at = this.place(event);
        this.boxes = [between(start, at)];
        this.draw();
      } else if (grip) {
        const at = this.place(event), { line, end } = grip, by = { x: (this.side() * dx) / (this.scale() * this.columns), y: dy / (this.scale() * this.rows) };
        if (end) line[end] = line.kind === "ruler" ? at : { x: at.x, y: line[end].y };
        if (!end || line.kind !== "ruler") for (const each of ["a", "b"]) line[each] = { x: line[each].x + (end ? 0 : by.x), y: line[each].y + by.y };
        this.draw();
        this.onchange(this);
      } else if (event.pointerType === "touch" && this.tool !== "pan") {
        return; // one finger scrolls the page; two hold the film
      } else if (event.shiftKey || event.buttons & 6 || this.tool === "pan") {
        this.move(dx, dy);
      } else {
        const size = this.canvas.getBoundingClientRect();
        this.set({ width: this.state.width * Math.exp((2 * dx) / size.width), level: this.state.level + (this.state.width * dy) / size.height });
      }
    });
    const leave = (event) => {
      held.delete(event.pointerId);
      before = null;
      grip = null;
      if (!start) return;
      const box = between(start, this.place(event));
      start = null;
      if (this.picking && event.type === "pointerup" && box.width > 0.02 && box.height > 0.02) this.picking(box);
    };
    this.canvas.addEventListener("pointerup", leave);
    this.canvas.addEventListener("pointercancel", leave);
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(event, Math.exp(-event.deltaY / 400));
    }, { passive: false });
    this.canvas.addEventListener("dblclick", () => this.fit());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  move(dx, dy) {
    const scale = this.scale();
    this.set({ x: this.state.x - (this.side() * dx) / (scale * this.columns), y: this.state.y - dy / (scale * this.rows) });
  }

  zoomAt(event, factor) {
    const at = this.place(event);
    const zoom = Math.min(Math.max(this.state.zoom * factor, 0.5), 40), kept = this.state.zoom / zoom;
    this.set({ zoom, x: at.x + (this.state.x - at.x) * kept, y: at.y + (this.state.y - at.y) * kept });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.picking && this.pick(event)) return;
    const { zoom, level, width } = this.state, step = 0.08 / zoom;
    const moves = {
      ArrowLeft: event.shiftKey ? { width: width / 1.1 } : { x: this.state.x - step },
      ArrowRight: event.shiftKey ? { width: width * 1.1 } : { x: this.state.x + step },
      ArrowUp: event.shiftKey ? { level: level - 0.05 * width } : { y: this.state.y - step },
      ArrowDown: event.shiftKey ? { level: level + 0.05 * width } : { y: this.state.y + step },
      "+": { zoom: zoom * 1.25 }, "=": { zoom: zoom * 1.25 }, "-": { zoom: zoom / 1.25 },
      i: { invert: !this.state.invert },
    };
    const named = { 0: "fit", f: "fit", 1: "actual", r: "reset" };
    if (moves[event.key]) this.set(moves[event.key]);
    else if (named[event.key]) this[named[event.key]]();
    else return;
    event.preventDefault();
  }

  pick(event) { // a box by keys: arrows move it, with Shift they change its size, Enter takes it
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy && event.key !== "Enter") return false;
    event.preventDefault();
    const box = this.boxes[0] ?? { x: 0.35, y: 0.35, width: 0.3, height: 0.3 }, clip = (value, low, high) => Math.min(Math.max(value, low), high);
    if (event.key === "Enter") this.picking(box);
    else if (event.shiftKey) this.boxes = [{ ...box, width: clip(box.width + dx * STEP, STEP, 1 - box.x), height: clip(box.height + dy * STEP, STEP, 1 - box.y) }];
    else this.boxes = [{ ...box, x: clip(box.x + dx * STEP, 0, 1 - box.width), y: clip(box.y + dy * STEP, 0, 1 - box.height) }];
    this.draw();
    return true;
  }
}

// All panes of a viewer and its tools. Linked panes share zoom and place; each keeps its own window.
export class Viewer {
  constructor(root) {
    this.root = root;
    this.panes = [];
    this.linked = root.dataset.linked !== undefined;
    for (const figure of root.querySelectorAll("figure[data-film]")) this.add(figure);
    this.active = this.panes[0];
    root.addEventListener("click", (event) => this.press(event.target.closest("button[data-do], button[data-preset], button[data-film-row]")));
    root.addEventListener("keydown", (event) => this.key(event));
    root.querySelector(".tools").addEventListener("keydown", (event) => this.walk(event));
    root.viewer = this;
  }

  add(figure) {
    const pane = new Pane(figure, (changed) => this.follow(changed));
    for (const kind of ["focus", "pointerdown"]) pane.canvas.addEventListener(kind, () => { this.active = pane; });
    this.panes.push(pane);
    return pane;
  }

  drop(pane) {
    this.panes = this.panes.filter((each) => each !== pane);
    if (this.active === pane) [this.active] = this.panes;
    pane.figure.remove();
  }

  follow(pane) {
    const read = this.root.querySelector("[data-readout]"), { level, width, zoom, invert, flip } = pane.state;
    const touched = level !== 0.5 || width !== 1 || zoom !== 1;
    if (read) read.textContent = pane.measured() || (touched ? `window ${Math.round(width * 100)} %, level ${Math.round(level * 100)} %, zoom ${Math.round(pane.scale() * (devicePixelRatio || 1) * 100)} %` : "");
    const lines = pane.lines.some((line) => line.kind === "heart");
    for (const [name, on] of Object.entries({ invert, flip, ratio: lines, ruler: pane.tool === "ruler", pan: pane.tool === "pan" })) this.root.querySelector(`[data-do="${name}"]`)?.setAttribute("aria-pressed", on);
    if (!this.linked) return;
    for (const other of this.panes) if (other !== pane) other.set({ zoom, x: pane.state.x, y: pane.state.y }, false);
  }

  key(event) {
    if (event.target.tagName !== "CANVAS" || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = { m: "ruler", c: "ratio", k: "marks" }[event.key];
    if (name) this.press(this.root.querySelector(`[data-do="${name}"]`));
  }

  walk(event) { // arrows go from tool to tool
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const all = [...this.root.querySelectorAll(".tools > button, .tools > details > summary")], at = all.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    all[(at + step + all.length) % all.length].focus();
  }

  show(which) { // one film of a study, or all of them
    const own = this.panes.filter((pane) => !pane.figure.dataset.neighbour);
    own.forEach((pane, row) => { pane.figure.hidden = which !== "all" && row !== Number(which); });
    for (const button of this.root.querySelectorAll("[data-film-row]")) button.setAttribute("aria-pressed", button.dataset.filmRow === String(which));
    this.active = own.find((pane) => !pane.figure.hidden) ?? this.active;
    this.root.dispatchEvent(new CustomEvent("film-shown", { bubbles: true }));
  }

  press(button) {
    if (!button) return;
    const pane = this.active;
    const each = this.linked ? this.panes : [pane];
    if (button.dataset.filmRow) return this.show(button.dataset.filmRow);
    if (button.dataset.preset) {
      const [level, width] = button.dataset.preset.split(",").map(Number);
      each.forEach((one) => one.set({ level, width }));
      button.closest("details").open = false;
      return;
    }
    const on = button.getAttribute("aria-pressed") !== "true";
    const deeds = {
      in: () => pane.set({ zoom: pane.state.zoom * 1.25 }),
      out: () => pane.set({ zoom: pane.state.zoom / 1.25 }),
      fit: () => pane.fit(),
      actual: () => pane.actual(),
      invert: () => each.forEach((one) => one.set({ invert: on })),
      flip: () => each.forEach((one) => one.set({ flip: on })),
      reset: () => each.forEach((one) => one.reset()),
      pan: () => this.panes.forEach((one) => { one.tool = on ? "pan" : ""; }),
      ruler: () => pane.ruler(on),
      ratio: () => pane.ratio(on),
      marks: () => {
        for (const one of this.panes) { one.marking = on; one.draw(); }
        button.setAttribute("aria-pressed", on);
        this.follow(pane);
      },
      link: () => {
        this.linked = on;
        button.setAttribute("aria-pressed", on);
        if (on) this.follow(pane);
      },
      swap: () => this.root.querySelector(".panes").classList.toggle("swapped"),
      flicker: () => this.flicker(button),
      "full-screen": () => (document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen?.()),
      print: () => window.print(),
    };
    deeds[button.dataset.do]?.();
    if (["pan", "ruler"].includes(button.dataset.do)) this.follow(pane);
    if (!on && button.dataset.do === "ruler") { pane.lines = pane.lines.filter((line) => line.kind !== "ruler"); pane.draw(); this.follow(pane); }
  }

  flicker(button) { // by hand, with the key or the button: nothing moves by itself
    const panes = this.root.querySelector(".panes");
    const on = !panes.classList.contains("flicker");
    if (on) { panes.classList.add("flicker"); panes.classList.remove("second"); this.linked = true; this.follow(this.active); }
    else if (!panes.classList.contains("second")) panes.classList.add("second");
    else panes.classList.remove("flicker", "second");
    button.setAttribute("aria-pressed", panes.classList.contains("flicker"));
    requestAnimationFrame(() => this.panes.forEach((pane) => pane.draw()));
  }
}

export function start() {
  for (const root of document.querySelectorAll("[data-viewer]")) {
    if (!root.querySelector("figure[data-film]")) continue;
    new Viewer(root);
  }
  for (const button of document.querySelectorAll("[data-show-marks]")) {
    button.addEventListener("click", () => {
      const tool = document.querySelector('[data-do="marks"]');
      if (tool.getAttribute("aria-pressed") !== "true") tool.click();
      tool.closest("[data-viewer]").scrollIntoView({ block: "nearest" });
    });
  }
  document.addEventListener("click", (event) => { // a menu closes when something else is meant
    for (const menu of document.querySelectorAll("details.menu[open], .chip details[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open], .chip details[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  });
}
