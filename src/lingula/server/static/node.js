// The page of nodes: trying again what waits, taking a sender's films as usual.
import { ask, say } from "./api.js";

export function start() {
  const trouble = document.querySelector("[data-trouble]");
  const press = (attribute, path) => {
    for (const button of document.querySelectorAll(`[data-${attribute}]`)) button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await ask(path(button.dataset[attribute]), { method: "POST" });
        location.reload();
      } catch (error) {
        say(trouble, error);
        button.disabled = false;
      }
    });
  };
  press("retry", (item) => `/api/node/retry?item=${encodeURIComponent(item)}`);
  press("accept", (sender) => `/api/node/drift/accept?sender=${encodeURIComponent(sender)}`);
}
