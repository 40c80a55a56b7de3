// A case: tabs, a strip of neighbours that is walked by arrow keys, each beside the film with its report; the printed sheet.
import { ask, element, say } from "./api.js";
import { stripTile } from "./tiles.js";

const KEPT = "lingula-cases", MOST = 24;

export function remembered() {
  try { return JSON.parse(localStorage.getItem(KEPT)) ?? []; } catch { return []; }
}

export function remember(list) {
  try { localStorage.setItem(KEPT, JSON.stringify(list.slice(0, MOST))); } catch { /* a browser that keeps nothing */ }
}

export function start() {
  for (const place of document.querySelectorAll("[data-strip-place]")) if (place.querySelector("[data-strip]")) strip(place);
  const tabs = document.querySelector("[data-tabs]");
  if (tabs) tab(tabs);
  const room = document.querySelector("[data-case]");
  if (room) {
    const caseId = room.dataset.case;
    remember([{ id: caseId, when: Date.now() }, ...remembered().filter((each) => each.id !== caseId)]);
  }
  const anyway = document.querySelector("[data-answer-anyway]");
  anyway?.addEventListener("click", async () => {
    anyway.disabled = true;
    await ask(`/case/${anyway.dataset.answerAnyway}/anyway`, { method: "POST" });
    location.reload();
  });
  document.querySelector("button[data-forget]")?.addEventListener("click", async (event) => {
    const caseId = event.target.dataset.forget;
    remember(remembered().filter((each) => each.id !== caseId));
    await ask(`/api/cases/${caseId}`, { method: "DELETE" });
    location.assign("/");
  });
  sheet();
  ownCases();
}

function tab(root) {
  const all = [...root.querySelectorAll('[role="tab"]')], panel = (each) => document.getElementById(each.getAttribute("aria-controls"));
  const choose = (chosen, focus) => {
    for (const each of all) {
      each.setAttribute("aria-selected", each === chosen);
      each.tabIndex = each === chosen ? 0 : -1;
      panel(each).hidden = each !== chosen;
    }
    if (focus) chosen.focus();
    fill(panel(chosen));
  };
  root.querySelector('[role="tablist"]').addEventListener("click", (event) => { const chosen = event.target.closest('[role="tab"]'); if (chosen) choose(chosen); });
  root.querySelector('[role="tablist"]').addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], at = all.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    choose(all[(at + step + all.length) % all.length], true);
  });
}

async function fill(panel) { // look-alikes are sought when they are asked for
  if (!panel.dataset.normal || panel.dataset.state) return;
  panel.dataset.state = "working";
  const place = panel.querySelector("[data-strip-place]");
  place.replaceChildren(element("p", { class: "aside" }, "Looking …"));
  try {
    const { entries } = await ask(panel.dataset.normal);
    place.replaceChildren(entries.length ? element("ol", { class: "strip", "data-strip": true, "aria-label": "Normal look-alikes, nearest first" }, ...entries.map(stripTile)) : element("p", { class: "nothing" }, "The library holds no study reported as normal."));
    if (entries.length) strip(place);
    panel.dataset.state = "ready";
  } catch (error) {
    place.replaceChildren();
    say(panel.querySelector("[data-trouble]"), error);
    delete panel.dataset.state;
  }
}

function strip(place) {
  const panel = place.nextElementSibling, tiles = [...place.querySelectorAll("[data-entry]")];
  let at = -1;
  const choose = (next, focus) => {
    at = Math.max(-1, Math.min(next, tiles.length - 1));
    tiles.forEach((each, row) => {
      each.classList.toggle("chosen-one", row === at);
      each.firstElementChild.toggleAttribute("aria-current", row === at);
    });
    if (at < 0) return leave(panel);
    if (focus) tiles[at].firstElementChild.focus({ preventScroll: false });
    show(JSON.parse(tiles[at].dataset.entry), panel, () => choose(-1));
  };
  place.addEventListener("click", (event) => {
    const tile = event.target.closest("[data-entry]");
    if (!tile || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    choose(tiles.indexOf(tile));
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const elsewhere = event.target.closest?.("canvas, input, textarea, select, [role='tablist'], .tools");
    if (!step || elsewhere || !place.offsetParent || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    choose(Math.max(0, at + step), true);
  });
}

let beside = null; // the pane of the neighbour

function show(entry, panel, close) {
  const viewer = document.querySelector("[data-viewer]")?.viewer;
  const own = viewer?.panes.find((pane) => !pane.figure.dataset.neighbour && !pane.figure.hidden);
  if (beside) { viewer.drop(beside); beside = null; }
  const film = own && (entry.films.find((each) => (each.view === "lateral") === (own.figure.dataset.view === "lateral")) ?? entry.films[0]);
  if (film) {
    const figure = element("figure", { "data-film": film.picture, "data-columns": String(film.columns), "data-rows": String(film.rows), "data-depth": "8", "data-view": film.view, "data-spacing": film.spacing ? String(film.spacing) : "", "data-neighbour": entry.study_id },
      element("canvas", { tabindex: "0", role: "img", "aria-label": `${film.name}. ${entry.labels.join(", ")}.`, "aria-describedby": "film-keys" }),
      element("figcaption", {}, element("b", {}, film.name), element("span", {}, entry.differs)));
    viewer.root.querySelector(".panes").append(figure);
    viewer.linked = true;
    beside = viewer.add(figure);
    viewer.follow(own);
  }
  for (const link of document.querySelectorAll("[data-export]")) { const url = new URL(link.href); url.searchParams.set("beside", entry.study_id); if (film) link.href = url; }
  panel.hidden = false;
  panel.className = "panel neighbour";
  panel.dataset.neighbour = entry.study_id;
  panel.replaceChildren(
    element("header", {}, element("h3", {}, entry.study_id), element("span", { class: "aside" }, [entry.differs, entry.odds].filter(Boolean).join(" · ")), element("button", { type: "button", class: "linkish", onclick: close }, "Close")),
    entry.labels.length ? element("ul", { class: "chips" }, ...entry.labels.map((name) => element("li", {}, name))) : "",
    entry.report ? element("div", { class: "report-text", dir: "auto" }, entry.report) : element("p", { class: "aside" }, entry.link ? "Its report is not on this machine; the original has it." : "It has no report."),
    entry.same_patient.length ? element("p", { class: "aside" }, `Perhaps the same patient as ${entry.same_patient.join(", ")}.`) : "",
    element("p", { class: "actions" }, element("a", { href: entry.address }, "Compare, and why"), element("a", { href: entry.page }, "Open"), entry.link ? element("a", { href: entry.link, rel: "noopener noreferrer" }, "Original") : ""),
  );
}

function leave(panel) {
  const viewer = document.querySelector("[data-viewer]")?.viewer;
  if (beside) { viewer.drop(beside); beside = null; }
  for (const link of document.querySelectorAll("[data-export]")) { const url = new URL(link.href); url.searchParams.delete("beside"); link.href = url; }
  panel.hidden = true;
}

function sheet() { // the printed page's pictures, when everything else is there
  const root = document.querySelector("[data-sheet]");
  if (!root) return;
  const load = () => { for (const image of root.querySelectorAll("img[data-src]")) { image.src = image.dataset.src; image.removeAttribute("data-src"); } };
  const panes = document.querySelector("[data-viewer]")?.viewer?.panes ?? [];
  Promise.allSettled(panes.map((pane) => pane.ready)).then(() => (window.requestIdleCallback ?? setTimeout)(load));
  addEventListener("beforeprint", () => {
    load();
    const anyway = document.querySelector("[data-anyway]");
    if (anyway) root.querySelector("[data-sheet-sentence]").hidden = !anyway.open; // a doubt stands alone unless it was opened
  });
}

async function ownCases() {
  const root = document.querySelector("[data-own-cases]");
  if (!root) return;
  const kept = [];
  for (const each of remembered()) {
    const known = await ask(`/api/cases/${each.id}`).catch(() => null);
    if (!known) continue;
    kept.push(each);
    const likely = known.predictions.filter((one) => one.decision === "present" && one.label !== "normal").map((one) => one.name);
    root.append(element("li", { class: "tile" }, element("a", { href: `/case/${each.id}` },
      known.films.length ? element("img", { src: `${known.films[0].picture}?side=256`, alt: "", width: "224", height: "224" }) : element("span", { class: "no-picture" }, "Report"),
      element("span", { class: "words" }, element("b", {}, likely.join(", ") || "Nothing stands out"), element("span", { class: "aside" }, new Date(each.when).toLocaleString())))));
  }
  remember(kept);
  document.querySelector("[data-no-cases]").hidden = Boolean(kept.length);
  root.dataset.state = "ready";
}
