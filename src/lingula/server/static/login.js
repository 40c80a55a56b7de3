import { ask, say, wake } from "./api.js";

// Where to go on: an address of this server alone, whatever the link says.
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  try {
    const address = new URL(wanted, location.origin);
    return wanted.startsWith("/") && address.origin === location.origin ? address.pathname + address.search + address.hash : "/";
  } catch { return "/"; }
}

const form = document.querySelector("form");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("/api/session", { method: "POST", json: { token: form.elements.token.value } });
    location.assign(next() + (next().includes("#") ? "" : location.hash));
  } catch (error) {
    say(document.querySelector("[data-trouble]"), error);
  }
});
wake();
document.documentElement.dataset.started = "";
