// Asking the server, and saying what went wrong.

export class Refused extends Error {
  constructor(body) {
    super(body.message || "Something went wrong.");
    Object.assign(this, { code: body.code || "internal", hint: body.hint || "", plain: body.plain || "" });
  }
}

export async function ask(path, { method = "GET", json, form, signal } = {}) {
  const headers = method === "GET" ? {} : { "X-Lingula": "1" };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: form ?? (json === undefined ? undefined : JSON.stringify(json)), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ code: "offline", message: "The server does not answer.", hint: "Is lingula serve still running?" });
  }
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(body);
  return body;
}

// Until its script listens, a form must not send what was typed: a browser would put it into the address.
export function wake() {
  for (const button of document.querySelectorAll("[data-wakes]")) button.disabled = false;
}

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function say(place, error) {
  const sentence = (text) => text && text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
  const words = error instanceof Refused ? [error.plain || error.message, error.hint].map(sentence) : ["Something went wrong in the page."];
  place.replaceChildren(element("p", {}, words.filter(Boolean).join(" ")));
  if (error.code) place.append(element("p", { class: "code" }, error.code));
  place.hidden = false;
}

