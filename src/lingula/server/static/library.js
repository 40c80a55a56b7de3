// The library: an import to follow and to stop, and a map to wander in.
import { ask, element, say } from "./api.js";
import { upload } from "./upload.js";

export function start() {
  const form = document.querySelector("form[data-import]");
  if (form) follow(form);
  const canvas = document.querySelector("canvas[data-map]");
  if (canvas) map(canvas);
  deletion();
}

function deletion() { // a study deleted for good, once the question is opened and answered
  const place = document.querySelector("[data-delete]");
  if (!place) return;
  const button = place.querySelector("[data-delete-now]"), told = document.querySelector("[data-deleted]"), trouble = document.querySelector("[data-delete-trouble]");
  button.addEventListener("click", async () => {
    button.disabled = true;
    trouble.hidden = true;
    try {
      const receipt = await ask("/api/library/deletions", { method: "POST", json: { studies: [place.dataset.delete] } });
      const left = [...receipt.copies.map((copy) => copy.place), ...receipt.remains];
      told.replaceChildren(element("p", {}, element("b", {}, `${place.dataset.delete} is deleted.`)),
        left.length ? element("p", {}, "What may still hold it:") : element("p", {}, "Nothing of it is left here."),
        left.length ? element("ul", { class: "plain-list" }, ...left.map((each) => element("li", {}, each))) : "",
        element("p", {}, element("a", { href: "/search" }, "To the others")));
      told.hidden = false;
      place.hidden = true;
      told.focus();
    } catch (error) {
      button.disabled = false;
      say(trouble, error);
    }
  });
}

function follow(form) {
  const trouble = document.querySelector("[data-trouble]"), shown = document.querySelector("[data-job]");
  const words = shown.querySelector("[data-job-words]"), bar = shown.querySelector("progress"), refused = shown.querySelector("[data-job-refused]");
  const get = document.querySelector("[data-get-collection]");
  let job = null, names = [];

  const show = (now) => {
    job = now;
    shown.hidden = false;
    shown.dataset.state = now.state;
    bar.max = now.total || 1;
    bar.value = now.state === "done" ? bar.max : now.done;
    shown.querySelector("[data-cancel]").hidden = !["waiting", "running"].includes(now.state);
    const megabytes = (bytes) => `${Math.round(bytes / 1e6).toLocaleString()} MB`;
    const running = { download: `Downloading: ${megabytes(now.done)} of ${now.total ? megabytes(now.total) : "?"}`, unpack: "Unpacking …", import: now.total ? `Importing: ${now.done} of ${now.total} studies` : "Looking through the files …" };
    if (now.state === "running" && !now.total) bar.removeAttribute("value");
    if (now.state === "failed" && now.error?.code === "fetch_failed") now.error.message = `The download did not go through: ${now.error.message} Is this machine connected to the internet? What came is kept; press again to go on.`;
    const ends = { waiting: "Waiting for another import …", running: running[now.stage], cancelled: "Stopped. What was stored stays stored.", failed: now.error?.message };
    words.textContent = ends[now.state] ?? `${now.added} studies added, ${now.present} there before, ${now.refused.length} files refused.`;
    const name = (row) => names[Number(/^\d{5}/.exec(row.name)?.[0]) - 1] ?? row.name;
    refused.replaceChildren(...(now.refused.length ? [element("table", { class: "plain-table" }, element("caption", {}, "Refused"), element("tbody", {}, ...now.refused.map((row) =>
      element("tr", {}, element("th", { scope: "row" }, name(row)), element("td", {}, row.message), element("td", { class: "code" }, row.code)))))] : []));
  };

  const sending = (share) => {
    shown.hidden = false;
    shown.dataset.state = "sending";
    bar.max = 1;
    if (share < 1) bar.value = share; else bar.removeAttribute("value");
    words.textContent = share < 1 ? `Sending, ${Math.round(100 * share)} %` : "Sent …";
    shown.querySelector("[data-cancel]").hidden = true;
  };
  const run = async (begin) => {
    trouble.hidden = true;
    try {
      show(await begin());
    } catch (error) {
      shown.hidden = true;
      say(trouble, error);
      return;
    }
    const source = new EventSource(`/api/jobs/${job.job_id}/events`);
    source.onmessage = (message) => {
      show(JSON.parse(message.data));
      if (["waiting", "running"].includes(job.state)) return;
      source.close();
      if (get && job.state === "done" && job.added) location.reload(); // from the studies that ship to films
    };
    source.onerror = () => source.close();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const folder = form.elements.folder?.value.trim();
    names = folder ? [] : [...form.elements.files.files].map((file) => file.name);
    if (folder) return run(() => ask("/api/imports/folder", { method: "POST", json: { folder } }));
    const body = new FormData();
    for (const file of form.elements.files.files) body.append("files", file, file.name);
    return run(() => upload("/api/imports", body, sending));
  });
  get?.addEventListener("click", () => {
    names = [];
    shown.scrollIntoView({ block: "nearest" });
    run(() => ask("/api/imports/collection", { method: "POST" }));
  });
  shown.querySelector("[data-cancel]").addEventListener("click", () => ask(`/api/jobs/${job.job_id}`, { method: "DELETE" }));
}

async function map(canvas) {
  const note = document.querySelector("[data-note]"), pick = document.querySelector("[data-highlight]"), pen = canvas.getContext("2d");
  const { points, share } = await ask("/api/library/map");
  document.querySelector("[data-share]").textContent = `The two directions hold ${Math.round(100 * share)} % of all differences.`;
  const view = { x: 0, y: 0, zoom: 1 };
  let at = null;

  const scales = (width, height) => { // pixels for a unit across and up: all points fit at zoom 1
    const up = (height / 2.15) * view.zoom, across = (width / 2.15) * view.zoom;
    return [Math.min(1.3 * up, across), Math.min(up, across)];
  };
  const place = (point, width, height) => {
    const [across, up] = scales(width, height);
    return [width / 2 + (point.x - view.x) * across, height / 2 - (point.y - view.y) * up];
  };
  const draw = () => {
    const ratio = devicePixelRatio || 1, box = canvas.getBoundingClientRect(), style = getComputedStyle(canvas);
    Object.assign(canvas, { width: box.width * ratio, height: box.height * ratio });
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const quiet = style.getPropertyValue("--unsure"), loud = style.getPropertyValue("--accent"), ink = style.getPropertyValue("--ink");
    const lit = (point) => pick.value && point.labels.includes(pick.value);
    for (const layer of [false, true]) for (const point of points) {
      if (lit(point) !== layer && (layer || lit(point))) continue;
      if (!layer && lit(point)) continue;
      const [x, y] = place(point, box.width, box.height);
      pen.globalAlpha = layer ? 0.95 : pick.value ? 0.35 : 0.8;
      pen.fillStyle = layer ? loud : quiet;
      pen.beginPath();
      pen.arc(x, y, layer ? 4 : 3, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    if (at) {
      const [x, y] = place(at, box.width, box.height);
      pen.strokeStyle = ink;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, 8, 0, 7);
      pen.stroke();
    }
  };
  const choose = (point) => {
    at = point;
    note.textContent = point ? `${point.study_id}: ${point.labels.map((code) => code.replaceAll("_", " ")).join(", ") || "not coded"}` : "";
    canvas.style.cursor = point ? "pointer" : "grab";
    draw();
  };
  const nearest = (event) => {
    const box = canvas.getBoundingClientRect();
    let best = null, far = 14 ** 2;
    for (const point of points) {
      const [x, y] = place(point, box.width, box.height);
      const gap = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
      if (gap < far) [best, far] = [point, gap];
    }
    return best;
  };
  let held = null, moved = 0;
  canvas.addEventListener("pointerdown", (event) => { held = event; moved = 0; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return choose(nearest(event));
    const box = canvas.getBoundingClientRect(), [across, up] = scales(box.width, box.height);
    view.x -= (event.clientX - held.clientX) / across;
    view.y += (event.clientY - held.clientY) / up;
    moved += Math.abs(event.clientX - held.clientX) + Math.abs(event.clientY - held.clientY);
    held = event;
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    held = null;
    const point = moved < 5 ? nearest(event) : null;
    if (point) location.assign(`/study/${encodeURIComponent(point.study_id)}`);
  });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); view.zoom = Math.min(Math.max(view.zoom * Math.exp(-event.deltaY / 400), 0.5), 60); draw(); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key === "Enter" && at) location.assign(`/study/${encodeURIComponent(at.study_id)}`);
    else if (event.key === "+" || event.key === "-") view.zoom *= event.key === "+" ? 1.25 : 0.8;
    else if (ways[event.key]) {
      const [dx, dy] = ways[event.key], from = at ?? { x: 0, y: 0 };
      const ahead = points.filter((point) => point !== at && (point.x - from.x) * dx + (point.y - from.y) * dy > Math.abs((point.x - from.x) * dy + (point.y - from.y) * dx));
      ahead.sort((a, b) => Math.hypot(a.x - from.x, a.y - from.y) - Math.hypot(b.x - from.x, b.y - from.y));
      if (ahead.length || !at) choose(ahead[0] ?? points[0]);
    } else return;
    event.preventDefault();
    draw();
  });
  pick.addEventListener("change", draw);
  new ResizeObserver(draw).observe(canvas);
  canvas.dataset.state = "ready";
  draw();
}
