// The evidence chooser: one finding, one method, drawn over the films and in the words of the report.
import { ask, element, say } from "./api.js";

const SMALL = 220; // height of a film in the corner

export function start() {
  const root = document.querySelector("[data-evidence]");
  if (!root) return;
  const caseId = root.dataset.evidence;
  const viewer = document.querySelector("[data-viewer]")?.viewer;
  const pick = (name) => root.querySelector(`[name="${name}"]`);
  const legend = root.querySelector("[data-legend]"), trouble = root.querySelector("[data-trouble]");
  const report = document.querySelector("[data-report]");
  const panes = [...(viewer?.panes ?? [])], pointedWords = document.querySelector("[data-pointed]"), corner = element("div", { class: "corner", "aria-hidden": "true", hidden: true });
  document.body.append(corner);
  const known = new Map(); // evidence by finding and method
  const button = viewer?.root.querySelector('[data-do="evidence"]'), progress = root.querySelector("[data-evidence-progress]"), seconds = root.querySelector("[data-evidence-seconds]");
  let asking = null, shown = null, pointed = null, held = false;

  const redraw = () => {
    const opacity = Number(pick("opacity").value) / 100, contours = pick("contours").checked;
    for (const pane of panes) {
      if (pane.overlay) Object.assign(pane.overlay, { opacity, contours });
      pane.draw();
    }
  };

  const find = async (label, method, signal, anyway = false) => {
    const key = `${label}/${method}${anyway ? "?anyway=true" : ""}`;
    if (!known.has(key)) known.set(key, await ask(`/api/cases/${caseId}/evidence/${key}`, { signal }));
    return known.get(key);
  };

  const load = async (anyway = false) => {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking, method = pick("method").value, label = pick("label").value;
    trouble.hidden = true;
    point(null);
    for (const row of document.querySelectorAll("[data-bars] details")) row.classList.toggle("explained", row.dataset.label === label);
    root.dataset.state = "working";
    root.hidden = false;
    button?.setAttribute("aria-pressed", true);
    legend.replaceChildren();
    const since = performance.now(), tick = setInterval(() => { progress.hidden = false; seconds.textContent = `Making the map: ${Math.round((performance.now() - since) / 1000)} s`; }, 500);
    try {
      const found = await find(label, method, signal, anyway);
      const images = await Promise.all(found.maps.map((map) => picture(map.picture, signal)));
      for (const [row, pane] of panes.entries()) {
        const map = found.maps[row];
        pane.overlay = map ? { image: images[row], outlines: map.outlines.filter(Boolean), place: map.place } : null;
      }
      write(found, legend, panes.length > 0, () => load(true));
      shown = found;
      if (report && found.runs.length) {
        const focused = [...report.querySelectorAll(".mention")].indexOf(document.activeElement);
        report.replaceChildren(words(found));
        if (focused >= 0) report.querySelectorAll(".mention")[focused]?.focus();
      }
      redraw();
      root.dataset.state = "ready";
    } catch (error) {
      if (error.name === "AbortError") return;
      legend.replaceChildren();
      say(trouble, error);
      root.dataset.state = "failed";
    } finally {
      clearInterval(tick);
      if (asking?.signal === signal || signal.aborted) progress.hidden = true;
    }
  };

  const hide = () => {
    asking?.abort();
    held = false;
    for (const pane of panes) pane.overlay = null;
    redraw();
    root.hidden = true;
    delete root.dataset.state;
    button?.setAttribute("aria-pressed", false);
    for (const row of document.querySelectorAll("[data-bars] details.explained")) row.classList.remove("explained");
  };
  button?.addEventListener("click", () => (root.hidden ? load() : hide()));
  root.querySelector("[data-hide-evidence]").addEventListener("click", hide);
  root.querySelector("[data-cancel-evidence]").addEventListener("click", hide);
  document.addEventListener("keydown", (event) => { // held, not switched: the plain film comes back by itself
    if (event.key.toLowerCase() !== "e" || event.repeat || event.ctrlKey || event.metaKey || event.altKey || !root.hidden || !button) return;
    if (event.target.closest?.("input, textarea, select")) return;
    held = true;
    load();
  });
  document.addEventListener("keyup", (event) => { if (held && event.key.toLowerCase() === "e") hide(); });

  // What is pointed at in the report is outlined on the films, and the words that name it are marked.
  const point = async (label, method = pick("method").value) => {
    if (label === pointed) return;
    pointed = label;
    for (const word of report?.querySelectorAll(".mention") ?? []) word.classList.toggle("pointed", word.dataset.mention === label);
    const found = label && method && panes.length ? await find(label, method).catch(() => null) : null;
    if (pointed !== label) return;
    for (const [row, pane] of panes.entries()) {
      pane.pointed = found?.maps[row]?.outlines.filter(Boolean) ?? [];
      pane.draw();
    }
    glance(found);
    const outlined = panes.some((pane) => pane.pointed.length);
    if (pointedWords) pointedWords.textContent = found?.localisable === false ? `${found.label_name} cannot be localised on the film.` : !found?.maps.length ? "" : outlined ? `Outlined on the film: ${found.label_name}.` : `Nothing on the film speaks for ${found.label_name}.`;
  };

  // Where the films are out of sight beside the report, they are shown small in a corner.
  const glance = (found) => {
    const inSight = ({ canvas }) => { const box = canvas.getBoundingClientRect(); return box.bottom > 0.6 * box.height && box.top + 0.6 * box.height < innerHeight; };
    const away = found ? panes.filter((pane) => pane.pointed.length && !inSight(pane)) : [];
    corner.hidden = !away.length;
    corner.replaceChildren(...away.map(({ canvas }) => {
      const small = element("canvas", { width: Math.round((2 * SMALL * canvas.width) / canvas.height), height: 2 * SMALL });
      small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
      return small;
    }));
  };

  const label = (event) => {
    const word = event.target.closest(".mention");
    return word ? word.dataset.mention : event.target.closest("mark") ? shown?.label : null;
  };
  for (const [enter, leave] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
    report?.addEventListener(enter, (event) => { if (label(event)) point(label(event)); });
    report?.addEventListener(leave, () => point(null));
  }
  const choose = (event) => {
    const word = event.target.closest(".mention");
    if (!word || (event.type === "keydown" && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    pick("label").value = word.dataset.mention;
    load();
  };
  report?.addEventListener("click", choose);
  report?.addEventListener("keydown", choose);
  for (const pane of panes) { // and the other way: over the strongest region, the words for it
    pane.canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) report?.classList.toggle("over-region", pane.isOver(event));
    });
    pane.canvas.addEventListener("pointerleave", () => report?.classList.remove("over-region"));
  }

  for (const name of ["label", "method"]) pick(name).addEventListener("change", () => load());
  for (const name of ["opacity", "contours"]) pick(name).addEventListener("input", redraw);
  document.addEventListener("click", (event) => {
    const row = event.target.closest("button[data-explain]");
    if (!row) return;
    pick("label").value = row.dataset.explain;
    load();
    viewer?.root.scrollIntoView({ block: "nearest" });
  });
  addEventListener("beforeprint", () => printed(panes, shown, root));
}

// The printed sheet has the map beside the film, small, where one is shown.
function printed(panes, shown, root) {
  const place = document.querySelector("[data-sheet-map]"), words = document.querySelector("[data-sheet-map-words]"), pane = panes.find((each) => each.overlay?.image);
  if (!place) return;
  place.hidden = words.hidden = root.hidden || !pane || !shown;
  if (place.hidden) return;
  const small = element("canvas", { width: 400, height: Math.round((400 * pane.rows) / pane.columns) }), pen = small.getContext("2d");
  pen.drawImage(pane.shown, 0, 0, small.width, small.height);
  pen.globalAlpha = pane.overlay.opacity;
  pen.drawImage(pane.overlay.image, 0, 0, small.width, small.height);
  place.replaceChildren(small);
  words.textContent = `${shown.method_name} for ${shown.label_name}. ${shown.sentence}`;
}

async function picture(url, signal) {
  const answer = await fetch(url, { signal });
  return answer.ok ? createImageBitmap(await answer.blob()) : null;
}

// With drawAnyway a button shows a map that is left out because it points nowhere.
function write(found, legend, films, drawAnyway) {
  const several = found.maps.length > 1;
  const places = found.maps.map((map, row) => map.place && (several ? `${map.place} on film ${row + 1}` : map.place)).filter(Boolean);
  const number = (value) => (value === null ? "" : Number(value).toPrecision(2));
  const withheld = films && found.localisable === false && !found.maps.length;
  const strongest = withheld ? ": cannot be localised." : places.length ? `: strongest in the ${places.join("; ")}.` : ".";
  legend.replaceChildren(element("summary", {}, element("b", {}, `${found.method_name} for ${found.label_name}`), strongest), element("div", {}, ...[
    element("p", {}, found.sentence),
    found.maps.length ? element("p", { class: "aside" }, found.signed ? `Blue against, orange for; full colour is ${number(found.top)}, ${found.unit}.` : `Violet weak, yellow strong; full colour is ${number(found.top)}, ${found.unit}.`) : null,
    withheld ? element("p", {}, element("button", { type: "button", class: "plain", onclick: drawAnyway }, "Show the map anyway")) : null,
    found.marks.length ? element("ul", { class: "trust" }, ...found.marks.map((mark) => element("li", {}, mark))) : null,
  ].filter(Boolean)));
  if (withheld) legend.open = true; // the button is in it
}

function words(found) {
  const text = element("div", { class: "report-text", dir: "auto" });
  let named = null, place = text;
  for (const run of found.runs) {
    let node = run.text;
    if (run.level) node = element("mark", { class: `${run.level > 0 ? "for" : "against"} s${Math.abs(run.level)}`, title: Number(run.score).toPrecision(3) }, run.text);
    if (run.mention !== named) {
      const mention = found.mentions[run.mention];
      place = mention ? element("span", { class: `mention ${mention.said}${mention.label === found.label ? " named" : ""}`, tabindex: "0", role: "button", "data-mention": mention.label, title: `${mention.name}, ${mention.said} in the report` }) : text;
      if (mention) text.append(place);
      named = run.mention;
    }
    place.append(run.heading ? element("b", {}, node) : node);
  }
  return text;
}
