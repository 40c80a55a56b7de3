// The evidence chooser: one finding, one method, drawn over the films and in the words of the report.
import { ask, element, say } from "./api.js";

export function start() {
  const root = document.querySelector("[data-evidence]");
  if (!root) return;
  const caseId = root.dataset.evidence;
  const viewer = document.querySelector("[data-viewer]")?.viewer;
  const pick = (name) => root.querySelector(`[name="${name}"]`);
  const legend = root.querySelector("[data-legend]"), trouble = root.querySelector("[data-trouble]");
  const report = document.querySelector("[data-report]");
  let asking = null;

  const redraw = () => {
    const opacity = Number(pick("opacity").value) / 100, contours = pick("contours").checked;
    for (const pane of viewer?.panes ?? []) {
      if (pane.overlay) Object.assign(pane.overlay, { opacity, contours });
      pane.draw();
    }
  };

  const load = async () => {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking, method = pick("method").value, label = pick("label").value;
    trouble.hidden = true;
    for (const row of document.querySelectorAll("tr[data-label]")) row.classList.toggle("explained", row.dataset.label === label);
    if (!method) {
      for (const pane of viewer?.panes ?? []) pane.overlay = null;
      legend.replaceChildren();
      redraw();
      return;
    }
    root.dataset.state = "working";
    legend.replaceChildren(element("p", { class: "aside" }, "Working …"));
    try {
      const found = await ask(`/api/cases/${caseId}/evidence/${label}/${method}`, { signal });
      const images = await Promise.all(found.maps.map((map) => picture(map.picture, signal)));
      for (const [row, map] of found.maps.entries()) {
        const pane = viewer?.panes[row];
        if (pane) pane.overlay = { image: images[row], outlines: map.outlines.filter(Boolean), place: map.place };
      }
      if (!found.maps.length) for (const pane of viewer?.panes ?? []) pane.overlay = null;
      write(found, legend);
      if (report && found.runs.length) report.replaceChildren(words(found));
      redraw();
      root.dataset.state = "ready";
    } catch (error) {
      if (error.name === "AbortError") return;
      legend.replaceChildren();
      say(trouble, error);
      root.dataset.state = "failed";
    }
  };

  for (const name of ["label", "method"]) pick(name).addEventListener("change", load);
  for (const name of ["opacity", "contours"]) pick(name).addEventListener("input", redraw);
  document.addEventListener("click", (event) => {
    const row = event.target.closest("button[data-explain]");
    if (!row) return;
    pick("label").value = row.dataset.explain;
    if (!pick("method").value) pick("method").selectedIndex = 1;
    load();
    root.scrollIntoView({ block: "nearest" });
  });
  load();
}

async function picture(url, signal) {
  const answer = await fetch(url, { signal });
  return answer.ok ? createImageBitmap(await answer.blob()) : null;
}

function write(found, legend) {
  const places = found.maps.map((map) => map.place).filter(Boolean);
  const number = (value) => (value === null ? "" : Number(value).toPrecision(2));
  legend.replaceChildren(...[
    element("p", {}, element("b", {}, `${found.method_name} for ${found.label_name}. `), found.sentence),
    found.maps.length ? element("p", { class: "aside" }, found.signed ? `Blue against, orange for; full colour is ${number(found.top)}, ${found.unit}.` : `Violet weak, yellow strong; full colour is ${number(found.top)}, ${found.unit}.`) : null,
    places.length ? element("p", { class: "aside" }, `Strongest in the ${places.join("; ")}.`) : null,
    found.marks.length ? element("ul", { class: "trust" }, ...found.marks.map((mark) => element("li", {}, mark))) : null,
  ].filter(Boolean));
}

function words(found) {
  const text = element("div", { class: "report-text", dir: "auto" });
  for (const run of found.runs) {
    let node = run.text;
    if (run.level) node = element("mark", { class: `${run.level > 0 ? "for" : "against"} s${Math.abs(run.level)}`, title: Number(run.score).toPrecision(3) }, run.text);
    text.append(run.heading ? element("b", {}, node) : node);
  }
  return text;
}
