// A question in words becomes an address; the grid goes on as far as there are answers; what is ticked is compared, kept, exported.
import { ask, element, say } from "./api.js";
import { gridTile } from "./tiles.js";

const LEFT_OUT = "lingula-left-out";

export async function openQuestion(asked) { // to the page that answers it, or to the study of that number
  const found = await ask("/api/understand", { method: "POST", json: asked });
  if (found.study) return location.assign(`/study/${encodeURIComponent(found.study)}`);
  const unknown = found.not_understood.filter((each) => found.left_out.includes(each.word));
  sessionStorage.setItem(LEFT_OUT, JSON.stringify({ address: found.address, unknown }));
  if (!found.address && !unknown.length) throw Object.assign(new Error("nothing"), { code: "bad_request" });
  location.assign(`/search?${found.address}`);
}

export function start() {
  const one = document.querySelector("button[data-add-to-set]:not([data-add-to-set=''])");
  one?.addEventListener("click", () => addToSet([one.dataset.addToSet]));
  const form = document.querySelector("form[data-ask]");
  if (!form) return;
  const trouble = form.querySelector("[data-trouble]");
  const before = form.elements.text.value;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.hidden = true;
    const { text } = form.elements;
    const json = { text: text.value === before ? "" : text.value, address: form.dataset.address };
    if (text.value.trim() === "" && before) json.text = " ";
    try {
      await openQuestion(json);
    } catch (error) {
      say(trouble, error);
    }
  });
  leftOut(form);
  if (innerWidth < 960) document.querySelector("[data-facets]")?.removeAttribute("open");
  grid();
}

function leftOut(form) { // words that no address may hold are said all the same
  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(LEFT_OUT)); } catch { return; }
  if (!kept || kept.address !== location.search.slice(1) || !kept.unknown.length) return;
  const list = form.querySelector("[data-chips]") ?? form.insertBefore(element("ul", { class: "understood", "data-chips": true, "aria-label": "Understood as" }), trouble(form));
  list.append(...kept.unknown.map(({ word, proposal }) => element("li", { class: "chip left-out" }, element("span", {}, `not understood: “${word}”`),
    proposal ? element("a", { href: "#", onclick: (event) => { event.preventDefault(); propose(form, proposal); } }, `${proposal}?`) : null)));
}

const trouble = (form) => form.querySelector("[data-trouble]");

function propose(form, words) {
  const { text } = form.elements;
  openQuestion({ text: [text.value, words].filter(Boolean).join(", "), address: form.dataset.address }).catch((error) => say(trouble(form), error));
}

function grid() {
  const list = document.querySelector("[data-grid]"), more = document.querySelector("[data-more]"), basket = document.querySelector("[data-basket]");
  if (!list) return;
  let page = 1, busy = false;
  const next = async () => {
    if (busy || !more?.isConnected) return;
    busy = true;
    more.firstElementChild.textContent = "Looking …";
    try {
      const found = await ask(`${more.dataset.more}&page=${page + 1}`);
      page += 1;
      list.append(...found.entries.map(gridTile));
      if (found.last) more.remove();
      more.firstElementChild.textContent = "More";
    } catch {
      more.firstElementChild.textContent = "Try again";
      watch.disconnect();
    }
    busy = false;
    if (more.isConnected && more.firstElementChild.textContent === "More") { watch.unobserve(more); watch.observe(more); } // still in sight: go on
  };
  const watch = new IntersectionObserver((seen) => { if (seen.some((each) => each.isIntersecting)) next(); }, { rootMargin: "600px" });
  if (more) { watch.observe(more); more.addEventListener("click", next); }

  const ticked = () => [...list.querySelectorAll("input:checked")].map((box) => box.value);
  const count = () => {
    const chosen = ticked();
    for (const tile of list.children) tile.classList.toggle("ticked", Boolean(tile.querySelector("input:checked")));
    basket.hidden = !chosen.length;
    basket.querySelector("[data-basket-count]").textContent = `${chosen.length} selected`;
    const compare = basket.querySelector("[data-compare]");
    compare.hidden = chosen.length !== 2;
    if (chosen.length === 2) compare.href = `/compare?${new URLSearchParams({ a: chosen[0], b: chosen[1] })}`;
  };
  list.addEventListener("change", count);
  basket.querySelector("[data-clear]").addEventListener("click", () => { for (const box of list.querySelectorAll("input:checked")) box.checked = false; count(); });
  basket.querySelector("[data-export-list]").addEventListener("click", () => {
    const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
    const rows = ticked().map((id) => { const tile = [...list.children].find((each) => each.dataset.study === id); return [id, new URL(`/study/${encodeURIComponent(id)}`, location.href).href, tile.querySelector(".says").textContent.trim()].map(quoted).join(","); });
    const file = URL.createObjectURL(new Blob([`study,address,says\r\n${rows.join("\r\n")}\r\n`], { type: "text/csv" }));
    element("a", { href: file, download: "lingula-studies.csv" }).click();
    URL.revokeObjectURL(file);
  });
  basket.querySelector("[data-add-to-set]").addEventListener("click", () => addToSet(ticked()));
  basket.querySelector("[data-quiz]").addEventListener("click", async () => {
    const made = await ask("/api/sets", { method: "POST", json: { title: document.querySelector("#question").value || "Quiz", study_ids: ticked() } });
    location.assign(`/learn/sets/${made.set_id}/quiz`);
  });
  count();
}

export const addToSet = (studies) => location.assign(`/learn?${new URLSearchParams({ studies: studies.join(",") })}`);
