// Learn: sets made and changed, tasks one question after another, class links. The server tells an answer only when one is given.
import { ask, element, say, wake } from "./api.js";
import { Stage } from "./stage.js";

const find = (name, root = document) => root.querySelector(`[data-${name}]`);
const trouble = (root) => find("trouble", root) ?? find("trouble");

function submits(form, act) {
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const place = trouble(form), working = find("working", form);
    if (place) place.hidden = true;
    if (working) working.hidden = false;
    try {
      await act(form);
    } catch (error) {
      if (place) say(place, error);
    }
    if (working) working.hidden = true;
  });
}

// -- the list of sets

submits(find("new-set"), async (form) => {
  const given = new FormData(form);
  const body = { title: given.get("title") || given.get("query") || "New set" };
  if (given.get("studies")) body.study_ids = given.get("studies").split(",").filter(Boolean);
  else Object.assign(body, { query: given.get("query"), count: Number(given.get("count")) });
  location.assign(`/learn/sets/${(await ask("/api/sets", { method: "POST", json: body })).set_id}`);
});

submits(find("import-set"), async (form) => {
  const file = form.elements.file.files[0];
  if (!file) return;
  let body;
  try {
    body = JSON.parse(await file.text());
  } catch {
    body = {};
  }
  location.assign(`/learn/sets/${(await ask("/api/sets/import", { method: "POST", json: body })).set_id}`);
});

// -- one set

const setForm = find("set-form");
if (setForm) {
  const id = setForm.dataset.set, list = find("cases", setForm), saved = find("saved", setForm);
  const about = JSON.parse(document.getElementById("set-body").textContent);
  let choicesTouched = about.chosen.length > 0, dirty = false;
  const changed = () => { dirty = true; saved.textContent = "Not saved yet."; };
  window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });

  for (const item of list.children) {
    const body = JSON.parse(item.dataset.body);
    item.caseBody = body;
    item.stages = [...item.querySelectorAll("[data-stage]")].map((figure) => {
      const film = Number(figure.dataset.row);
      return new Stage(figure, { picture: figure.dataset.picture, whole: figure.dataset.whole, alt: figure.dataset.alt, film, marks: body.drawings.filter((mark) => mark.film === film), onchange: changed });
    });
  }
  setForm.addEventListener("input", (event) => {
    if (event.target.name === "choices") choicesTouched = true;
    changed();
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button"), item = event.target.closest("[data-case]");
    if (!button || !item) return;
    const { move, draw } = button.dataset;
    if (move) {
      const other = move === "1" ? item.nextElementSibling : item.previousElementSibling;
      if (other) other[move === "1" ? "after" : "before"](item);
      button.focus();
      changed();
    } else if (draw !== undefined) {
      for (const stage of item.stages) { stage.draw = draw; if (draw) stage.enlarge(); stage.figure.classList.toggle("drawing", Boolean(draw)); }
      for (const each of item.querySelectorAll("[data-draw]")) each.setAttribute("aria-pressed", String(each.dataset.draw === draw && Boolean(draw)));
      item.querySelector('[data-draw=""]').hidden = !draw;
      if (draw) item.stages[0]?.room.focus();
    } else if ("undo" in button.dataset) {
      item.stages.findLast((stage) => stage.marks.length)?.undo();
    } else if ("remove" in button.dataset) {
      item.remove();
      changed();
    }
  });
  list.addEventListener("change", async (event) => {
    const file = event.target.matches("[data-marks]") && event.target.files[0];
    if (!file) return;
    const form = new FormData(), study = event.target.closest("[data-case]").dataset.case;
    form.append("file", file);
    try {
      await ask(`/api/sets/${id}/cases/${encodeURIComponent(study)}/marks`, { method: "POST", form });
      dirty = false;
      location.reload();
    } catch (error) {
      say(trouble(setForm), error);
    }
  });
  submits(setForm, async () => {
    const cases = [...list.children].map((item) => ({
      ...item.caseBody,
      ...Object.fromEntries([...item.querySelectorAll("[data-field]")].map((field) => [field.dataset.field, field.value])),
      drawings: item.stages.flatMap((stage) => stage.marks),
    }));
    const choices = choicesTouched ? [...setForm.querySelectorAll('[name="choices"]:checked')].map((box) => box.value) : [];
    const body = { title: setForm.elements.title.value, question: setForm.elements.question.value, owner: about.owner, version: about.version, choices, cases };
    about.version = (await ask(`/api/sets/${id}`, { method: "PUT", json: body })).version;
    dirty = false;
    saved.textContent = "Saved.";
  });
  submits(find("add-studies"), async (form) => {
    await ask(`/api/sets/${id}/cases`, { method: "POST", json: { study_ids: [form.elements.study.value.trim()] } });
    dirty = false;
    location.reload();
  });
  const link = find("link"), made = find("link-made");
  submits(link, async (form) => {
    const answer = await ask(`/api/sets/${id}/links`, { method: "POST", json: { task: form.elements.task.value, days: Number(form.elements.days.value) } });
    const address = new URL(answer.address, location.href).href;
    const local = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
    made.replaceChildren(element("span", {}, "For your class: "), element("a", { href: address }, address),
      element("small", {}, ` It is shown this once, opens this task alone, and ends on ${new Date(1000 * answer.until).toLocaleDateString()}.${local ? " Others reach it only where the server was started with --host." : ""}`));
    made.hidden = false;
  });
  find("close-links")?.addEventListener("click", async () => {
    await ask(`/api/sets/${id}/links`, { method: "DELETE" });
    made.replaceChildren("All links of this set are closed.");
    made.hidden = false;
  });
  find("delete-set")?.addEventListener("click", async () => {
    await ask(`/api/sets/${id}`, { method: "DELETE" });
    dirty = false;
    location.assign("/learn");
  });
}

find("next-set")?.addEventListener("click", async (event) => {
  try {
    location.assign(`/learn/sets/${(await ask(`/api/sets/${event.target.dataset.nextSet}/next-set`, { method: "POST" })).set_id}`);
  } catch (error) {
    say(trouble(document), error);
  }
});

// -- a task

submits(find("join"), async (form) => {
  await ask(`${form.dataset.base}/join`, { method: "POST", json: { name: form.elements.name.value } });
  location.reload();
});

const CONFIDENCE = [[50, "Guess"], [70, "Unsure"], [85, "Sure"], [97, "Certain"]];
const STATUS = { found: "Found", missed: "Missed", invented: "Not in the report", wrong_side: "Other side", hedged_otherwise: "Said with other certainty" };

class Room {
  constructor(root) {
    this.root = root;
    this.task = root.dataset.task;
    this.query = root.dataset.student ? `?student=${encodeURIComponent(root.dataset.student)}` : "";
    this.form = find("answer", root);
    this.reveal = find("reveal", root);
    submits(this.form, async () => { if (this.form.reportValidity()) await this.answer(); });
  }

  address(rest) { return `${this.root.dataset.base}/${rest}${this.query}`; }

  async next() {
    const { question } = await ask(this.address("next"));
    this.question = question;
    find("room", this.root).hidden = !question;
    find("done", this.root).hidden = Boolean(question);
    if (!question) { find("done", this.root).focus(); return; }
    this.reveal.hidden = true;
    this.form.hidden = false;
    find("number", this.root).textContent = `${question.number} of ${question.of}${question.attempt ? ", once more" : ""}`;
    find("history", this.root).textContent = question.history;
    find("question", this.root).textContent = question.question;
    const hint = find("hint", this.root);
    hint.hidden = !question.hint;
    hint.open = false;
    hint.querySelector("p").textContent = question.hint;
    const pair = this.task === "pairs";
    this.stages = Array.from({ length: question.films }, (_, row) => {
      const figure = element("figure", {});
      const stage = new Stage(figure, { picture: this.address(`${question.question_id}/films/${row}`), alt: pair ? `Film ${"AB"[row]}` : `Film ${row + 1} of ${question.films}, unknown`, film: row, draw: this.task === "marking" ? "mark" : "" });
      if (pair) figure.append(element("figcaption", {}, `Film ${"AB"[row]}`));
      return stage;
    });
    find("films", this.root).replaceChildren(...this.stages.map((stage) => stage.figure));
    find("films", this.root).classList.toggle("pair", pair);
    this.fields();
    find("question", this.root).focus({ preventScroll: true });
  }

  fields() {
    const parts = [];
    if (this.task === "quiz") {
      parts.push(element("fieldset", { class: "choice-grid" }, element("legend", {}, "Tick what it shows; nothing for “none of these”"),
        ...Object.entries(this.question.choices).map(([code, name]) => element("label", { class: "tick-box" }, element("input", { type: "checkbox", name: "chosen", value: code }), name))));
    } else if (this.task === "pairs") {
      parts.push(element("fieldset", { class: "row" }, element("legend", {}, "It is"),
        ...["A", "B"].map((side) => element("label", { class: "tick-box" }, element("input", { type: "radio", name: "side", value: side, required: true }), `Film ${side}`))));
    } else if (this.task === "marking") {
      parts.push(element("p", { class: "aside" }, "Drag a box or tap a point on the film. With keys: Enter on the film sets a box, arrows move it, Shift with arrows sizes it."));
    } else {
      parts.push(element("label", { class: "field" }, "Impression ", element("textarea", { name: "text", rows: 6, maxLength: 5000 })));
    }
    parts.push(element("fieldset", { class: "row sureness" }, element("legend", {}, "How sure are you?"),
      ...CONFIDENCE.map(([value, name]) => element("label", { class: "tick-box" }, element("input", { type: "radio", name: "confidence", value: String(value), required: true }), name))));
    parts.push(element("p", { class: "row" }, element("button", { class: "button", type: "submit" }, "Commit")));
    this.form.replaceChildren(...parts);
  }

  async answer() {
    const given = new FormData(this.form);
    const body = { attempt: this.question.attempt, confidence: Number(given.get("confidence")), chosen: given.getAll("chosen"), side: given.get("side") ?? "", text: given.get("text") ?? "", drawings: this.stages.flatMap((stage) => stage.marks) };
    const said = await ask(this.address(this.question.question_id), { method: "POST", json: body });
    this.form.hidden = true;
    this.show(said);
  }

  show(said) {
    const names = (title, some) => (some.length ? element("p", {}, element("b", {}, `${title}: `), some.join(", ")) : null);
    for (const stage of this.task === "pairs" ? [] : this.stages) {
      stage.given = said.drawings.filter((mark) => mark.film === stage.film);
      stage.draw = "";
      stage.paint();
    }
    const parts = [
      element("h2", { class: said.right ? "right" : "not-right" }, said.right ? "Right" : "Not quite"),
      names("It shows", said.labels),
      this.task === "writing" ? null : names("Missed", said.missed),
      this.task === "writing" ? null : names("Not there", said.invented),
      ...said.marks.map((mark) => element("p", {}, mark.drawn ? `${mark.hit ? "Hit" : "Missed"}: overlap ${Math.round(100 * mark.overlap)} %, ${mark.distance} ${mark.unit === "mm" ? "mm" : "% of the film"} from the middle.` : "Nothing drawn on the film with this mark.")),
      said.unread ? element("p", {}, "Nothing of what you wrote was understood.") : null,
      this.task === "writing" && said.written.length ? this.table(said.written) : null,
      said.key_point ? element("p", { class: "key-point" }, said.key_point) : null,
      said.model ? element("details", {}, element("summary", {}, "What the model said"), element("ul", { class: "model-says" }, ...Object.entries(said.model).sort((one, other) => other[1] - one[1]).map(([name, p]) => element("li", {}, `${name} ${Math.round(100 * p)} %`)))) : null,
      said.report ? element("details", { open: this.task !== "writing" }, element("summary", {}, "Report"), element("div", { class: "report-text", dir: "auto" }, said.report)) : null,
      said.alike.length ? element("div", { class: "alike" }, element("h3", {}, "Looks alike, shows something else"), element("div", { class: "alike-films" }, ...said.alike.map((each, number) => element("figure", {}, element("img", { src: this.address(`${this.question.question_id}/alike/${number}/films/0`), alt: `Look-alike: ${each.labels.join(", ")}`, loading: "lazy" }), element("figcaption", {}, each.labels.join(", ")))))) : null,
      said.study_id ? element("p", {}, element("a", { href: `/study/${encodeURIComponent(said.study_id)}` }, `Open ${said.study_id}`)) : null,
      element("p", { class: "row" }, element("button", { class: "button", type: "button", onclick: () => this.go() }, "Next")),
    ];
    this.reveal.replaceChildren(...parts.filter(Boolean));
    this.reveal.hidden = false;
    this.reveal.focus({ preventScroll: true });
    this.reveal.scrollIntoView({ block: "nearest" });
  }

  table(marks) {
    const quote = (some) => (some.length ? some.map((each) => element("q", {}, each.text)) : ["–"]);
    return element("ul", { class: "writing-marks" }, ...marks.map((mark) => element("li", { class: mark.status },
      element("p", {}, element("b", {}, mark.name), ` ${STATUS[mark.status]}`),
      element("p", {}, element("small", {}, "You: "), ...quote(mark.written)),
      element("p", {}, element("small", {}, "Report: "), ...quote(mark.reported)))));
  }

  async go() {
    try {
      await this.next();
      window.scrollTo(0, 0);
    } catch (error) {
      say(trouble(this.root), error);
    }
  }
}

const room = find("task");
if (room) new Room(room).go();
wake();
document.documentElement.dataset.started = "";
