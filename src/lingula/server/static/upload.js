// One field: films dropped or chosen, a report pasted, a question asked; or an example.
import { Refused, ask, element, say } from "./api.js";
import { openQuestion } from "./search.js";

const LONG = 160; // characters from which words without a heading are a report

export function isReport(text) {
  return /(^|\n)\s*(findings|impression|indication|comparison|technique|history|report)\b[^\n]{0,20}:/i.test(text) || text.length > LONG || text.trim().split(/[.!?](?:\s|$)/).filter(Boolean).length > 2;
}

export function start() {
  const form = document.querySelector("form[data-bring]");
  if (!form) return;
  const input = form.querySelector('input[type="file"]'), list = form.querySelector("[data-files]");
  const trouble = document.querySelector("[data-bring-trouble]"), go = form.querySelector("[data-go]"), text = form.elements.text;
  const working = form.querySelector("[data-working]"), bar = form.querySelector("[data-bar]"), words = form.querySelector("[data-working-words]");
  let chosen = [];

  const name = () => { if (go) go.textContent = chosen.length ? "Read" : text.value.trim() && isReport(text.value) ? "Read this report" : "Search"; };
  const show = () => {
    list.replaceChildren(...chosen.map((file, at) => element("li", {}, file.name,
      element("button", { type: "button", class: "plain", "aria-label": `Remove ${file.name}`, onclick: () => { chosen.splice(at, 1); show(); } }, "Remove"))));
    list.hidden = !chosen.length;
    name();
  };

  const send = async (work) => {
    trouble.hidden = true;
    form.dataset.state = "working";
    working.hidden = false;
    if (words) words.textContent = "Reading and comparing …";
    try {
      const answer = await work();
      location.assign(`/case/${answer.case_id}`);
    } catch (error) {
      say(trouble, error);
      trouble.focus();
      form.dataset.state = "refused";
      working.hidden = true;
    }
  };
  const progress = (share) => {
    if (share < 1) { bar.value = share; words.textContent = `Sending, ${Math.round(100 * share)} %`; }
    else { bar.removeAttribute("value"); words.textContent = "Reading and comparing …"; }
  };
  const bring = () => {
    const body = new FormData();
    for (const file of chosen) body.append("files", file, file.name);
    body.append("text", chosen.length && !isReport(text.value) ? "" : text.value);
    return send(() => upload("/api/cases", body, progress));
  };
  const submit = async () => {
    if (chosen.length || isReport(text.value)) return bring();
    trouble.hidden = true;
    try { await openQuestion({ text: text.value }); } catch (error) { say(trouble, error); trouble.focus(); }
  };

  for (const button of document.querySelectorAll("button[data-example]"))
    button.addEventListener("click", () => send(() => ask(`/api/studies/${encodeURIComponent(button.dataset.example)}/case`, { method: "POST" })));
  if (!input) return;
  const take = (files) => { chosen = [...chosen, ...files]; show(); if (chosen.length) bring(); };
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  text.addEventListener("input", name);
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || isReport(text.value)) return;
    event.preventDefault();
    form.requestSubmit();
  });
  text.addEventListener("paste", (event) => { if (event.clipboardData.files.length) { event.preventDefault(); take(event.clipboardData.files); } });
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    take(event.dataTransfer.files);
  });
}

export function upload(path, body, progress) { // with progress, which fetch does not tell
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("X-Lingula", "1");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) progress(event.loaded / event.total); });
    request.upload.addEventListener("load", () => progress(1));
    request.addEventListener("load", () => (request.status < 300 ? resolve(request.response) : reject(new Refused(request.response ?? {}))));
    request.addEventListener("error", () => reject(new Refused({ code: "offline", message: "The server does not answer.", hint: "Is lingula serve still running?" })));
    request.send(body);
  });
}
