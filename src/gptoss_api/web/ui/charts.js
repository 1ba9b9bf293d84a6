// Pictures of numbers, for the eye: the same numbers stand in a table beside each of them.

import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 220;
const LEFT = 44;
const RIGHT = 4;
const TOP = 10;
const BOTTOM = 24;
const NARROWEST = 240;

function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Columns over time, stacked by series. `columns` are [{label, values}], with a value for each of `series`, names
 * in the order of their colours. `format` writes a value, `short` a label at the axis. `read(column)` is called
 * with the column that is pointed at, and with null when none is any more.
 */
export function columnChart({ columns, series, format, short, label, read }) {
  const box = h("div", { class: "chart" });
  let width = 0;
  const watcher = new ResizeObserver(([entry]) => {
    const found = Math.max(NARROWEST, Math.floor(entry.contentRect.width));
    if (found === width) return;
    width = found;
    box.replaceChildren(draw({ columns, series, format, short, label, read }, width));
  });
  watcher.observe(box);
  return box;
}

function draw({ columns, series, format, short, label, read }, width) {
  const most = Math.max(...columns.map(({ values }) => values.reduce((sum, value) => sum + value, 0)), 1);
  const { top, steps } = scale(most);
  const inner = width - LEFT - RIGHT;
  const floor = HEIGHT - BOTTOM;
  const y = (value) => floor - (value / top) * (floor - TOP);
  const step = inner / columns.length;
  const bar = Math.max(1, Math.min(step - Math.max(1, step * 0.22), 44));
  const svg = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label });

  for (const value of steps) {
    const at = Math.round(y(value)) + 0.5;
    svg.append(s("line", { x1: LEFT, x2: width - RIGHT, y1: at, y2: at, class: value ? "grid" : "axis" }));
    svg.append(s("text", { x: LEFT - 8, y: at + 3.5, class: "tick", "text-anchor": "end" }, format(value)));
  }
  const every = Math.ceil(columns.length / Math.max(2, Math.floor(inner / 76)));
  columns.forEach((column, index) => {
    const left = LEFT + index * step + (step - bar) / 2;
    let below = 0;
    const filled = column.values.map((value, nth) => [value, nth]).filter(([value]) => value > 0);
    const group = s("g", { class: "column" });
    filled.forEach(([value, nth], position) => {
      const upper = y(below + value);
      const lower = y(below);
      // A line of the ground between two series, so that they need not be told apart by colour alone.
      const gap = position && lower - upper > 3 ? 1 : 0;
      group.append(
        s("path", {
          class: `series-${nth + 1}`,
          d: rounded(left, upper, bar, Math.max(0.75, lower - upper - gap), position === filled.length - 1 ? Math.min(3, bar / 3) : 0),
        }),
      );
      below += value;
    });
    group.prepend(s("rect", { x: LEFT + index * step, y: TOP, width: step, height: floor - TOP, class: "target" }));
    group.addEventListener("pointerenter", () => read(column));
    group.addEventListener("pointerleave", () => read(null));
    svg.append(group);
    if (index % every === 0 && LEFT + (index + 0.5) * step < width - 18) {
      svg.append(
        s("text", { x: LEFT + (index + 0.5) * step, y: HEIGHT - 6, class: "tick", "text-anchor": "middle" }, short(column.label)),
      );
    }
  });
  return svg;
}

/** The path of a bar whose upper corners are rounded. */
function rounded(x, y, width, height, radius) {
  const r = Math.min(radius, height);
  return `M${x},${y + height}V${y + r}Q${x},${y} ${x + r},${y}H${x + width - r}Q${x + width},${y} ${x + width},${y + r}V${y + height}Z`;
}

/** A round number at or above `most` and the steps up to it. */
function scale(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [0.25, 0.5, 1, 2, 2.5, 5].map((factor) => factor * power).find((size) => most / size <= 4 && (size >= 1 || most < 1)) ?? power;
  const size = Math.max(step, 1);
  const top = Math.ceil(most / size) * size;
  return { top, steps: Array.from({ length: Math.round(top / size) + 1 }, (_, nth) => nth * size) };
}

/** The key to the colours of `columnChart`. */
export function legend(series) {
  return h(
    "ul",
    { class: "legend" },
    series.map((name, nth) => h("li", {}, h("span", { class: `swatch fill-${nth + 1}`, "aria-hidden": "true" }), name)),
  );
}

/** A bar that is `value` of `most` long, behind or beside a number that says the same. */
export function meter(value, most, kind = "") {
  const width = most > 0 ? Math.min(100, (value / most) * 100) : 0;
  return s(
    "svg",
    { class: `meter ${kind}`, viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { width: 100, height: 6, rx: 1, class: "meter-ground" }),
    s("rect", { width: value > 0 ? Math.max(width, 1) : 0, height: 6, rx: 1, class: "meter-fill" }),
  );
}
