// Unknown films: show, let tick, judge, go on. The server tells the answer only with the verdict.
import { ask, element, say } from "./api.js";
import { Viewer } from "./viewer.js";

function when(due) {
  const minutes = Math.max(1, Math.round((1000 * due - Date.now()) / 60_000));
  if (minutes < 90) return `in ${minutes} minutes, after others`;
  const days = Math.round(minutes / 1440);
  return days > 1 ? `in ${days} days` : "tomorrow";
}

function step({ low, claims, confidence, right }) {
  const name = { 0: "guessed", 60: "unsure", 80: "sure", 95: "certain" }[low];
  return element("tr", {}, element("th", { scope: "row" }, `${name}, ${Math.round(confidence)} % on average`), element("td", {}, String(claims)), element("td", {}, `${Math.round(100 * right)} %`));
}

export function start() {
  const root = document.querySelector("form[data-practice]");
  if (!root) return;
  const place = (name) => document.querySelector(`[data-${name}]`);
  const trouble = place("trouble"), ticks = place("ticks"), verdict = place("verdict");
  let card = null;

  const next = async () => {
    trouble.hidden = true;
    const asked = new URLSearchParams({ finding: root.elements.finding.value, difficulty: root.elements.difficulty.value });
    try {
      card = await ask(`/api/practice?${asked}`, { method: "POST" });
    } catch (error) {
      say(trouble, error);
      return;
    }
    const bitmap = await createImageBitmap(await (await fetch(card.films[0])).blob());
    const made = place("viewer-template").content.firstElementChild.cloneNode(true);
    Object.assign(made.querySelector("figure").dataset, { film: card.films[0], columns: bitmap.width, rows: bitmap.height });
    place("stage").replaceChildren(made);
    new Viewer(made);
    place("choices").replaceChildren(...Object.entries(card.choices).map(([code, name]) =>
      element("label", { class: "tick-box" }, element("input", { type: "checkbox", name: "choice", value: code }), name)));
    verdict.hidden = true;
    ticks.hidden = false;
    place("card").hidden = false;
    place("card").dataset.card = card.card_id;
  };

  root.addEventListener("submit", (event) => { event.preventDefault(); next(); });
  ticks.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = [...ticks.querySelectorAll("input:checked")].map((box) => box.value);
    try {
      const said = await ask(`/api/practice/${card.card_id}`, { method: "POST", json: { chosen, confidence: Number(ticks.elements.confidence.value) } });
      verdict.replaceChildren(
        element("h2", { class: said.right ? "right" : "not-right" }, said.right ? "Right" : "Not quite"),
        element("p", {}, said.answer.length ? `Of these it shows: ${said.answer.join(", ")}.` : "It shows none of these."),
        ...[["Missed", said.missed], ["Not there", said.wrong]].filter(([, names]) => names.length).map(([title, names]) => element("p", {}, `${title}: ${names.join(", ")}.`)),
        element("p", { class: "aside" }, `Coded with: ${said.labels.join(", ") || "nothing"}.`),
        element("div", { class: "report-text", dir: "auto" }, said.report ?? "There is no report."),
        element("p", { class: "aside" }, `Back ${when(said.due)}.`),
        element("p", {}, element("a", { href: `/study/${encodeURIComponent(said.study_id)}` }, `Open ${said.study_id}`)),
      );
      verdict.hidden = false;
      ticks.hidden = true;
      verdict.focus();
      progress();
    } catch (error) {
      say(trouble, error);
    }
  });

  const progress = async () => {
    const told = await ask("/api/practice/progress");
    const rows = Object.values(told.findings);
    place("due").textContent = told.due_today ? `${told.due_today} due today.` : "";
    place("progress").hidden = !rows.length;
    place("no-progress").hidden = Boolean(rows.length);
    place("exports").hidden = !rows.length;
    place("progress").querySelector("tbody").replaceChildren(...rows.map((row) =>
      element("tr", {}, element("th", { scope: "row" }, row.name), element("td", {}, String(row.seen)), element("td", {}, `${row.right} (${Math.round((100 * row.right) / row.seen)} %)`))));
    place("sureness").hidden = !told.calibration.student.length;
    place("model-beside").hidden = !told.calibration.model.length;
    place("own-sureness").replaceChildren(...told.calibration.student.map(step));
    place("model-sureness").replaceChildren(...told.calibration.model.map(step));
  };
  progress();
}
