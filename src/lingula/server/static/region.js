// Search by a box on a film: draw it with the pointer or the keys; the address keeps it.
import { ask, element, say } from "./api.js";

const WAIT = 2000; // milliseconds between two looks while the library is prepared

export function start() {
  const root = document.querySelector("[data-region]"), viewer = document.querySelector("[data-viewer]")?.viewer;
  const button = viewer?.root.querySelector('[data-do="box"]');
  if (!root || !button) return;
  const mirrored = root.querySelector('[name="mirrored"]');
  const words = root.querySelector("[data-region-words]"), trouble = root.querySelector("[data-region-trouble]");
  const found = document.querySelector("[data-region-found]"), cases = found.querySelector("[data-region-cases]");
  const names = Object.fromEntries([...document.querySelectorAll("[data-evidence] [name='label'] option")].map((option) => [option.value, option.textContent]));
  let asked = null, asking = null;

  const search = async (film, box) => {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking, pane = viewer.panes[film];
    for (const [row, each] of viewer.panes.entries()) { each.boxes = row === film ? [box] : []; each.draw(); }
    asked = { film, box };
    history.replaceState(null, "", `#box=${[film, box.x, box.y, box.width, box.height].map((value) => Number(value.toFixed(4))).join(",")}`);
    const x = Math.floor(box.x * pane.columns), y = Math.floor(box.y * pane.rows);
    const json = { film, x, y, mirrored: mirrored.checked, width: Math.max(1, Math.min(Math.round(box.width * pane.columns), pane.columns - x)), height: Math.max(1, Math.min(Math.round(box.height * pane.rows), pane.rows - y)) };
    trouble.hidden = true;
    root.dataset.state = "working";
    words.textContent = "Looking …";
    try {
      const answer = await patient(`/api/cases/${root.dataset.region}/region`, json, signal, words);
      cases.replaceChildren(...answer.neighbours.map((each) => card(each, root.dataset.region, names)));
      words.textContent = `${answer.films_searched} films searched; the most alike are below.`;
      found.hidden = false;
      root.dataset.state = "ready";
      found.querySelector("h2").focus();
    } catch (error) {
      if (error.name === "AbortError") return;
      words.textContent = "";
      say(trouble, error);
      root.dataset.state = "failed";
    }
  };

  const turn = (on) => {
    button.setAttribute("aria-pressed", on);
    root.hidden = !on;
    for (const [row, pane] of viewer.panes.entries()) pane.picking = on ? (box) => search(row, box) : null;
    if (on) return;
    asking?.abort();
    found.hidden = true;
    asked = null;
    words.textContent = "";
    history.replaceState(null, "", location.pathname);
    for (const pane of viewer.panes) { pane.boxes = []; pane.draw(); }
  };

  button.addEventListener("click", () => {
    turn(button.getAttribute("aria-pressed") !== "true");
    if (!root.hidden) viewer.active.canvas.focus();
  });
  mirrored.addEventListener("change", () => { if (asked) search(asked.film, asked.box); });
  const kept = /^#box=(\d+),([\d.]+),([\d.]+),([\d.]+),([\d.]+)$/.exec(location.hash)?.slice(1).map(Number);
  if (kept && viewer.panes[kept[0]]) {
    turn(true);
    search(kept[0], { x: kept[1], y: kept[2], width: kept[3], height: kept[4] });
  }
}

async function patient(path, json, signal, words) { // the first search of a library has to wait for its films to be read
  for (;;) {
    try {
      return await ask(path, { method: "POST", json, signal });
    } catch (error) {
      if (error.code !== "busy") throw error;
      words.textContent = error.message;
      await new Promise((resolve) => setTimeout(resolve, WAIT));
      signal.throwIfAborted();
    }
  }
}

function card(each, caseId, names) {
  const { region } = each, id = encodeURIComponent(each.study_id), space = "http://www.w3.org/2000/svg";
  const frame = document.createElementNS(space, "svg");
  frame.setAttribute("viewBox", `0 0 ${region.columns} ${region.rows}`);
  frame.setAttribute("aria-hidden", "true");
  for (const kind of ["under", "over"]) {
    const rect = document.createElementNS(space, "rect");
    for (const name of ["x", "y", "width", "height"]) rect.setAttribute(name, region[name]);
    rect.setAttribute("class", kind);
    frame.append(rect);
  }
  const film = element("div", { class: "boxed" }, element("img", { src: each.picture, alt: `Radiograph of ${each.study_id} with the place that looks alike` }), frame);
  const go = (href, text) => element("a", { href }, text, element("span", { class: "unseen" }, ` ${each.study_id}`));
  return element("li", { class: "case" }, element("article", {},
    element("header", {}, element("span", { class: "rank" }, String(each.rank)), element("h3", {}, each.study_id), element("p", { class: "score" }, `${each.score.toFixed(3).replace("-", "−")}${each.mirrored ? ", mirrored" : ""}`)),
    film,
    element("div", { class: "labels" }, each.labels.length ? element("ul", { class: "chips" }, ...each.labels.map((code) => element("li", {}, names[code] ?? code))) : element("p", { class: "aside" }, "No coded labels.")),
    each.snippet ? element("p", { class: "snippet" }, each.snippet) : null,
    element("p", { class: "actions" }, go(`/study/${id}`, "Open"), go(`/compare?a=case:${caseId}&b=${id}`, "Compare")),
  ));
}
