// Why this one: the similarity as shares that add up, regions on both films, findings and sentences side by side.
import { ask, element, say } from "./api.js";

const COLOURS = ["#ffd54a", "#5cc6d3", "#ff8a65", "#c59bff", "#8fd14f"];
const FEW = 6; // words that are named
const number = (value) => value.toFixed(3).replace("-", "−");

export async function start() {
  const root = document.querySelector("[data-why]");
  if (!root) return;
  const reasons = root.querySelector("[data-reasons]"), opacity = root.querySelector('[name="opacity"]'), regions = root.querySelector('[name="regions"]');
  const panes = document.querySelector("[data-viewer]")?.viewer.panes ?? [], rows = root.dataset.rows.split(",").map(Number);
  const progress = root.querySelector("[data-why-progress]"), seconds = root.querySelector("[data-why-seconds]");
  const asking = new AbortController(), since = performance.now();
  const tick = setInterval(() => { seconds.textContent = `Taking the similarity apart: ${Math.round((performance.now() - since) / 1000)} s`; }, 1000);
  root.querySelector("[data-cancel-why]").addEventListener("click", () => asking.abort());
  let found;
  try {
    found = await ask(root.dataset.why, { signal: asking.signal });
  } catch (error) {
    reasons.replaceChildren();
    if (error.name !== "AbortError") say(root.querySelector("[data-trouble]"), error);
    root.dataset.state = "failed";
    return;
  } finally {
    clearInterval(tick);
    progress.hidden = true;
  }
  root.querySelector("[data-why-words]").replaceChildren(...found.words.map((each) => element("p", {}, each)));
  reasons.replaceChildren(bar(found), findings(found), sentences(found), changes(found));
  const sides = panes.length === 2 ? ["query", "neighbour"] : [];
  for (const [at, side] of sides.entries()) {
    const url = found.maps[side][rows[at]];
    if (!url) continue;
    const image = await createImageBitmap(await (await fetch(url)).blob());
    panes[at].overlay = { image, outlines: [], opacity: 0, contours: false };
  }
  const inView = found.matched
    .map((match, n) => ({ ...match, colour: COLOURS[n % COLOURS.length] }))
    .filter((match) => match.query.film === rows[0] && match.neighbour.film === rows[1]);
  const draw = () => {
    for (const [at, side] of sides.entries()) {
      if (panes[at].overlay) panes[at].overlay.opacity = Number(opacity.value) / 100;
      panes[at].boxes = regions.checked ? inView.map((match) => ({ ...match[side], colour: match.colour })) : [];
      panes[at].draw();
    }
  };
  opacity.addEventListener("input", draw);
  regions.addEventListener("change", draw);
  draw();
  root.dataset.state = "ready";
}

function bar(found) {
  const all = found.shares.reduce((sum, share) => sum + Math.abs(share.score), 0) || 1;
  const space = "http://www.w3.org/2000/svg", sum = document.createElementNS(space, "svg");
  sum.setAttribute("viewBox", "0 0 100 6");
  sum.setAttribute("preserveAspectRatio", "none");
  sum.setAttribute("class", "sum");
  sum.setAttribute("aria-hidden", "true");
  let at = 0;
  for (const share of found.shares) {
    const part = document.createElementNS(space, "rect"), width = (100 * Math.abs(share.score)) / all;
    for (const [name, value] of Object.entries({ x: at, width, height: 6, class: `part of-${share.name === "report" ? "words" : "image"}` })) part.setAttribute(name, value);
    sum.append(part);
    at += width;
  }
  const words = found.shares.map((share) => `${share.name} ${number(share.score)}`).join(" + ");
  return element("div", {}, sum, element("p", { class: "sum-words", "data-sum": true }, `${words} = ${number(found.score)}; rank ${found.rank} among all.`));
}

function findings(found) {
  const said = (word) => ({ present: "present", absent: "absent", uncertain: "uncertain" })[word] ?? "not mentioned";
  const rows = found.differing.map((pair) => element("tr", {}, element("th", { scope: "row" }, pair.name), element("td", {}, said(pair.query)), element("td", {}, said(pair.neighbour))));
  return element("div", {},
    element("h3", {}, "Findings"),
    element("p", {}, found.shared.length ? `Both show ${found.shared.map((pair) => pair.name).join(", ")}.` : "They share no finding."),
    rows.length ? element("table", { class: "plain-table" }, element("thead", {}, element("tr", {}, ...["They differ in", "yours", "this one"].map((name) => element("th", { scope: "col" }, name)))), element("tbody", {}, ...rows)) : null,
  );
}

function sentences(found) {
  if (!found.sentences.length) return "";
  return element("div", {}, element("h3", {}, "Sentences that say the same"), element("div", { class: "wide" }, element("table", { class: "plain-table" }, element("thead", {}, element("tr", {}, ...["Yours", "This one", "Similarity"].map((name) => element("th", { scope: "col", class: name === "Similarity" ? "figure" : null }, name)))),
    element("tbody", {}, ...found.sentences.map((pair) => element("tr", {}, element("td", {}, pair.query), element("td", {}, pair.neighbour), element("td", { class: "figure" }, number(pair.score))))))));
}

function some(words) { // each once, the first few: a list of all tells nobody anything
  const all = [...new Set(words)], few = all.slice(0, FEW).map((word) => `“${word}”`).join(", ");
  return all.length > FEW ? `${few} and ${all.length - FEW} other words` : few;
}

function changes(found) {
  const told = found.changes.filter((change) => change.regions.length || change.words.length).map((change) => {
    const parts = change.kind === "words" || change.words.length ? some(change.words) : `${change.regions.length} ${change.regions.length === 1 ? "region" : "regions"} of your film`;
    return element("li", {}, change.found ? `Without ${parts} it would be rank ${change.rank_after} instead of ${change.rank_before}.` : `Even without ${parts} it would stay at rank ${change.rank_after}.`);
  });
  return told.length ? element("div", {}, element("h3", {}, "What would change it"), element("ul", { class: "trust" }, ...told)) : "";
}
