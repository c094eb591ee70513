// How values are written, and small helpers for the document.

export const NOTHING = "–";
const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

const formats = {
  text: (value) => String(value),
  count: (value) => String(value),
  plain: (value) => value.toFixed(2),
  per_s: (value) => `${value.toFixed(1)} /s`,
  s: (value) => `${Math.round(value)} s`,
  ms: (value) => (value >= 10000 ? `${(value / 1000).toFixed(1)} s` : `${value >= 100 ? Math.round(value) : value} ms`),
  // "100.0 %" means all and "0.0 %" none.
  percent: (value) => {
    const tenths = Math.round(value * 1000);
    return `${((value > 0 && value < 1 ? Math.min(Math.max(tenths, 1), 999) : tenths) / 10).toFixed(1)} %`;
  },
};

export function written(value, format) {
  return value === null || value === undefined ? NOTHING : formats[format](value);
}

export function at(status, path) {
  return path.split(".").reduce((part, name) => (part === null || part === undefined ? null : part[name]), status);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text; // else a screen reader would say it each second
}

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
