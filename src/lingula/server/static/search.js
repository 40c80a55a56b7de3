// A question in words becomes an address; chips and filters are plain links and forms.
import { ask, say } from "./api.js";

export function start() {
  const form = document.querySelector("form[data-ask]");
  if (!form) return;
  const trouble = form.querySelector("[data-trouble]");
  const before = form.elements.text.value;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.hidden = true;
    const { text, also, without } = form.elements;
    const json = { text: text.value === before ? "" : text.value, also: also.value, without: without.value, address: form.dataset.address };
    if (text.value.trim() === "" && before) json.text = " ";
    try {
      const found = await ask("/api/understand", { method: "POST", json });
      if (!found.address) throw new Error("nothing");
      location.assign(`/search?${found.address}`);
    } catch (error) {
      if (error.message === "nothing") error = Object.assign(error, { code: "bad_request" });
      say(trouble, error);
    }
  });
}
