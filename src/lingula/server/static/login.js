import { ask, say, wake } from "./api.js";

const form = document.querySelector("form");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("/api/session", { method: "POST", json: { token: form.elements.token.value } });
    location.assign("/");
  } catch (error) {
    say(document.querySelector("[data-trouble]"), error);
  }
});
wake();
