// Bringing in a study: dropped or chosen files, a report as text, or an example.
import { ask, element, say } from "./api.js";

export function start() {
  document.querySelector("button[data-forget]")?.addEventListener("click", async (event) => {
    await ask(`/api/cases/${event.target.dataset.forget}`, { method: "DELETE" });
    location.assign("/");
  });
  const form = document.querySelector("form[data-bring]");
  if (!form) return;
  const input = form.querySelector('input[type="file"]'), list = form.querySelector("[data-files]");
  const trouble = document.querySelector("[data-bring-trouble]"), zone = form.querySelector("[data-drop]");
  let chosen = [];

  const show = () => {
    list.replaceChildren(...chosen.map((file, at) => element("li", {}, file.name,
      element("button", { type: "button", class: "plain", "aria-label": `Remove ${file.name}`, onclick: () => { chosen.splice(at, 1); show(); } }, "Remove"))));
    list.hidden = !chosen.length;
  };
  const take = (files) => { chosen = [...chosen, ...files]; show(); };

  const send = async (path, options) => {
    trouble.hidden = true;
    form.dataset.state = "working";
    form.querySelector("[data-working]").hidden = false;
    try {
      const answer = await ask(path, { method: "POST", ...options });
      location.assign(`/case/${answer.case_id}`);
    } catch (error) {
      say(trouble, error);
      trouble.focus();
      form.dataset.state = "refused";
    } finally {
      form.querySelector("[data-working]").hidden = true;
    }
  };
  const submit = () => {
    const body = new FormData();
    for (const file of chosen) body.append("files", file, file.name);
    body.append("text", form.elements.text.value);
    return send("/api/cases", { form: body });
  };

  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => { event.preventDefault(); zone.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
    if (chosen.length) submit();
  });
  for (const button of document.querySelectorAll("button[data-example]"))
    button.addEventListener("click", () => send(`/api/studies/${encodeURIComponent(button.dataset.example)}/case`, {}));
}
