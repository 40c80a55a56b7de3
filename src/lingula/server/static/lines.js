// Lines on a film: a ruler, and the widths of heart and chest with their ratio.

const COLOURS = { ruler: "#ffd54a", heart: "#ff8ad1", chest: "#5cc6d3" };
const REACH = 14; // screen pixels within which a line is taken hold of

export function between(one, two) { // the box between two places, in shares of the film
  const clip = (value) => Math.min(Math.max(value, 0), 1);
  const [left, right] = [clip(Math.min(one.x, two.x)), clip(Math.max(one.x, two.x))];
  const [top, bottom] = [clip(Math.min(one.y, two.y)), clip(Math.max(one.y, two.y))];
  return { x: left, y: top, width: right - left, height: bottom - top };
}

export function heartAndChest() { // where they lie on most frontal films; their ends are for the reader to put right
  return [
    { kind: "heart", a: { x: 0.38, y: 0.66 }, b: { x: 0.68, y: 0.66 } },
    { kind: "chest", a: { x: 0.14, y: 0.74 }, b: { x: 0.87, y: 0.74 } },
  ];
}

export function length(pane, line) { // in pixels of the film
  return Math.hypot((line.b.x - line.a.x) * pane.columns, (line.b.y - line.a.y) * pane.rows);
}

function measure(pane, line) {
  const pixels = length(pane, line);
  return pane.spacing ? `${(pixels * pane.spacing).toFixed(pixels * pane.spacing < 100 ? 1 : 0)} mm` : `${Math.round(pixels)} pixels`;
}

export function words(pane) { // what the lines say; empty without any
  const [heart, chest] = ["heart", "chest"].map((kind) => pane.lines.find((line) => line.kind === kind));
  const ruler = pane.lines.find((line) => line.kind === "ruler");
  const said = heart && chest ? [`Heart ${measure(pane, heart)}, chest ${measure(pane, chest)}: ratio ${(length(pane, heart) / length(pane, chest)).toFixed(2)}`] : [];
  if (ruler) said.push(`${measure(pane, ruler)}${pane.spacing ? "" : " (the file does not say how far pixels lie apart)"}`);
  return said.join(" · ");
}

export function lineAt(pane, event) { // the line under the pointer, and which end of it; null where there is none
  const at = pane.place(event), scale = pane.scale();
  const gap = (one, two) => Math.hypot((one.x - two.x) * pane.columns, (one.y - two.y) * pane.rows) * scale;
  for (const line of pane.lines) for (const end of ["a", "b"]) if (gap(at, line[end]) < REACH) return { line, end };
  for (const line of pane.lines) {
    const part = (at.x - line.a.x) / (line.b.x - line.a.x || 1e-9), near = { x: at.x, y: line.a.y + part * (line.b.y - line.a.y) };
    if (part > 0 && part < 1 && gap(at, near) < REACH / 2) return { line, end: null };
  }
  return null;
}

export function drawLines(pen, pane, scale) {
  for (const line of pane.lines) {
    const [ax, ay, bx, by] = [line.a.x * pane.columns, line.a.y * pane.rows, line.b.x * pane.columns, line.b.y * pane.rows];
    for (const [colour, wide] of [["#000", 4], [COLOURS[line.kind], 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = wide / scale;
      pen.beginPath();
      pen.moveTo(ax, ay);
      pen.lineTo(bx, by);
      for (const [x, y] of [[ax, ay], [bx, by]]) { pen.moveTo(x, y - 8 / scale); pen.lineTo(x, y + 8 / scale); }
      pen.stroke();
    }
    pen.save(); // text is never mirrored
    pen.translate((ax + bx) / 2, Math.min(ay, by) - 8 / scale);
    pen.scale(pane.side(), 1);
    pen.font = `600 ${13 / scale}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.lineWidth = 4 / scale;
    pen.strokeStyle = "#000";
    pen.strokeText(measure(pane, line), 0, 0);
    pen.fillStyle = COLOURS[line.kind];
    pen.fillText(measure(pane, line), 0, 0);
    pen.restore();
  }
}

export function drawMarks(pen, pane, scale) { // boxes, points and arrows of a file that came with the film
  for (const { shape, points } of pane.marks) {
    const [[x, y], [right, bottom]] = [points[0], points.at(-1)].map(([across, down]) => [across * pane.columns, down * pane.rows]);
    const path = new Path2D();
    if (shape === "box") path.rect(x, y, right - x, bottom - y);
    else if (shape === "point") path.arc(x, y, 9 / scale, 0, 2 * Math.PI);
    else { path.moveTo(x, y); path.lineTo(right, bottom); path.arc(right, bottom, 5 / scale, 0, 2 * Math.PI); }
    for (const [colour, wide] of [["#000", 4.5], ["#5ce0a0", 2.5]]) {
      pen.lineWidth = wide / scale;
      pen.strokeStyle = colour;
      pen.stroke(path);
    }
  }
}
