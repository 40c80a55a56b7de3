// Tiles of studies made from what the server tells, as the templates draw them.
import { element } from "./api.js";

export function picture(entry, loading = "lazy") {
  return entry.picture ? element("img", { src: entry.picture, alt: "", loading, width: "224", height: "224" }) : element("span", { class: "no-picture" }, (loading === "lazy" ? entry.labels : entry.short.slice(0, 3)).join(", "));
}

export function stripTile(entry) {
  return element("li", { class: "tile", "data-entry": JSON.stringify(entry) },
    element("a", { href: entry.address }, picture(entry, "eager"), element("span", { class: "unseen" }, `${entry.rank}. ${entry.study_id}: `), element("span", { class: "differs" }, ...(entry.differs ? entry.differs.split(", ") : entry.short.slice(0, 2)).map((part) => element("span", {}, part))), entry.odds ? element("span", { class: "odds" }, entry.odds_short, element("span", { class: "unseen" }, " share a finding")) : null));
}

export function gridTile(entry) {
  const says = entry.says.length ? entry.says.map(([text, polarity]) => (polarity ? element("mark", { class: polarity }, text) : text)) : entry.picture ? [entry.labels.join(", ")] : [];
  return element("li", { class: "tile", "data-study": entry.study_id },
    element("a", { href: entry.address }, picture(entry), element("span", { class: "words" }, element("b", {}, entry.study_id), element("span", { class: "says", dir: "auto" }, ...says))),
    element("label", { class: "pick-me", title: `Select ${entry.study_id}` }, element("input", { type: "checkbox", value: entry.study_id, "aria-label": `Select ${entry.study_id}`, autocomplete: "off" })));
}
