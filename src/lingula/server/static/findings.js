// The threshold: one cut for all findings or each finding's own, and what validation says of it.
import { ask, percent } from "./api.js";

const NAMES = { present: "Flagged", absent: "Not flagged" };
const NORMAL = { present: "Likely", absent: "Unlikely" }; // no finding: it has a row of its own and is never flagged

export async function start() {
  const root = document.querySelector("[data-threshold-for]");
  if (!root) return;
  const rows = [...document.querySelectorAll("tr[data-label]")];
  const slider = root.querySelector('input[type="range"]'), out = root.querySelector("output"), own = root.querySelector("button");
  const groups = Object.fromEntries([...document.querySelectorAll("[data-group]")].map((group) => [group.dataset.group, group]));
  const points = await ask(`/api/operating/${root.dataset.thresholdFor}`);
  const known = Object.values(points.labels).some((label) => label.sensitivity.some((value) => value !== null));
  slider.max = points.cuts.length - 1;
  root.hidden = false;

  const nearest = (cut) => points.cuts.reduce((best, value, at) => (Math.abs(value - cut) < Math.abs(points.cuts[best] - cut) ? at : best), 0);

  const show = (at) => {
    for (const row of rows) {
      const { label, probability, threshold, decision } = row.dataset;
      const cut = at === null ? Number(threshold) : points.cuts[at];
      const said = at === null || decision === "cannot_judge" ? decision : Number(probability) >= cut ? "present" : "absent";
      row.classList.remove("present", "absent", "abstain");
      row.classList.add(said);
      row.querySelector(".decision").className = `decision ${said}`;
      row.querySelector(".decision").textContent = said === decision ? row.dataset.words : (label === "normal" ? NORMAL : NAMES)[said];
      row.querySelector(".bar").setAttribute("class", `bar ${said}`);
      for (const end of ["x1", "x2"]) row.querySelector(".tick").setAttribute(end, (cut * 100).toFixed(1));
      row.querySelector("[data-cut]").textContent = `cut ${percent(cut)}`;
      const place = points.labels[label];
      const [found, spared] = ["sensitivity", "specificity"].map((name) => (at === null ? place?.own[name] : place?.[name][at]) ?? null);
      const about = at === null && !points.cuts.includes(cut) ? "about " : "";
      row.querySelector("[data-operating]").textContent =
        found === null && spared === null ? (known ? "validation has no case of it" : "")
          : `${about}finds ${found === null ? "–" : percent(found)}, spares ${spared === null ? "–" : percent(spared)}`;
      if (label !== "normal") groups[said].querySelector("tbody").append(row);
    }
    for (const [name, group] of Object.entries(groups)) {
      const count = group.querySelectorAll("tbody tr").length;
      group.hidden = !count;
      const summary = group.querySelector("summary");
      if (summary && name === "absent") summary.textContent = `${count} below ${count === 1 ? "its" : "their"} threshold`;
      if (name === "present") document.querySelector("[data-none]").hidden = Boolean(count);
    }
    out.textContent = at === null ? "each finding’s own" : `${percent(points.cuts[at])} for all`;
    own.disabled = at === null;
  };

  root.querySelector("[data-unknown]").hidden = known;
  slider.addEventListener("input", () => show(Number(slider.value)));
  own.addEventListener("click", () => { show(null); slider.value = nearest(0.5); });
  slider.value = nearest(0.5);
  show(null);
  root.dataset.state = "ready";
}
