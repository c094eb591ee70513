// The charts, drawn by uPlot, which defines a global of that name.

import { NOTHING, byId, written } from "./format.js";

let latest = null;

export const charts = {};
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function line(label, color, format, dash, scale) {
  return {
    label, stroke: ink(color), width: 2, dash, scale: scale || "y", spanGaps: false, points: { show: false },
    value: (_, value) => written(value, format),
  };
}

function axis(values, more) {
  return { stroke: ink("--soft"), grid: { stroke: ink("--rule"), width: 1 }, ticks: { stroke: ink("--rule"), width: 1 },
    font: "12px system-ui, sans-serif", size: 64, values: (_, splits) => splits.map(values), ...more };
}

const rangeFromZero = (low, high) => [0, Math.max(high || 0, low || 0) * 1.1 || 1]; // from 0, with a margin above
const minutes = (seconds) => (seconds === 0 ? "now" : `${seconds % 60 ? seconds : `${seconds / 60} min`}`);
const since = { label: "at", value: (_, seconds) => (seconds === null ? NOTHING : seconds === 0 ? "now" : `${-seconds} s ago`) };
const overTime = () => axis(minutes, { size: 26, space: 60, incrs: [10, 30, 60, 120] });
const whole = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
const share = (value) => `${Math.round(value * 100)} %`;
const fromZero = { range: (_, low, high) => rangeFromZero(low, high) };
const ofAll = { range: [0, 1.02] };

// What each chart looks like, and its data. The first data column is x.
const plans = {
  "success-by": {
    options: () => ({
      scales: { x: { time: false }, y: ofAll },
      series: [{ label: "by", value: (_, ms) => written(ms, "ms") },
        line("with hedging", "--first", "percent"), line("without", "--second", "percent", [6, 4])],
      axes: [axis((ms) => written(ms, "ms"), { size: 26, space: 60 }), axis(share)],
      hooks: { draw: [drawHedgeDelay] },
    }),
    data: ({ hedging }) => {
      const curves = [hedging.with_hedging.success_by, hedging.without_hedging.success_by];
      const settled = (curve) => Math.max(curve.findIndex((value) => value >= curve[curve.length - 1]), 0);
      const shown = Math.max(...curves.map(settled), hedging.le_ms.findIndex((le) => le >= 600)) + 1;
      return [[0, ...hedging.le_ms.slice(0, shown)],
        ...curves.map((curve) => (curve.length ? [0, ...curve.slice(0, shown)] : new Array(shown + 1).fill(null)))];
    },
    description: ({ hedging }) => `with hedging ${written(hedging.with_hedging.success_rate, "percent")} of clients get a success, ` +
      `without ${written(hedging.without_hedging.success_rate, "percent")}`,
  },
  latency: {
    options: () => ({
      scales: { x: { time: false }, y: fromZero },
      series: [{ label: "from", value: (_, ms) => written(ms, "ms") },
        { ...line("of the successes in 50 ms", "--first", "percent"), fill: ink("--first"), paths: uPlot.paths.stepped({ align: 1 }) }],
      axes: [axis((ms) => written(ms, "ms"), { size: 26, space: 60 }), axis(share)],
    }),
    // The buckets are not equally wide, so what is drawn is their density; else a wide one would look full.
    data: ({ attempts }) => {
      const { counts, le_ms } = attempts.latency;
      const total = counts.reduce((sum, times) => sum + times, 0);
      const last = le_ms.length - 1 - [...counts.slice(0, -1)].reverse().findIndex((times) => times > 0);
      if (!total || last > le_ms.length - 1) return [[0, 1000], [null, null]];
      const from = [0, ...le_ms.slice(0, last + 1)];
      const density = le_ms.slice(0, last + 1).map((le, index) => (counts[index] / total) * (50 / (le - from[index])));
      return [from, [...density, 0]];
    },
    rests: (data) => data[1].indexOf(Math.max(...data[1])),
    description: ({ attempts }) => `half within ${written(attempts.latency.p50_ms, "ms")}, 99 % within ${written(attempts.latency.p99_ms, "ms")}`,
  },
  rates: series(() => [line("requests", "--first", "percent"), line("attempts", "--second", "percent", [6, 4])], share, ofAll,
    ["request_success_rate", "attempt_success_rate"]),
  traffic: series(() => [line("requests", "--first", "per_s"), line("hedges", "--second", "per_s", [6, 4]),
    line("rejected", "--third", "per_s", [2, 3])], whole, fromZero, ["requests_per_s", "hedges_per_s", "shed_per_s"]),
  quantiles: series(() => [line("p50", "--first", "ms"), line("p99", "--second", "ms", [6, 4])], (ms) => written(ms, "ms"), fromZero,
    ["attempt_p50_ms", "attempt_p99_ms"]),
  lag: series(() => [line("in flight", "--first", "count"), line("loop iteration", "--second", "ms", [6, 4], "ms")], whole, fromZero,
    ["in_flight", "loop_iteration_p99_ms"], { ms: fromZero }, () => [axis((ms) => written(ms, "ms"), { scale: "ms", side: 1, grid: { show: false } })]),
};

function series(lines, values, y, fields, scales, axes) {
  return {
    options: () => ({
      scales: { x: { time: false, range: [-300, 0] }, y, ...(scales || {}) },
      series: [since, ...lines()], axes: [overTime(), axis(values), ...(axes ? axes() : [])],
    }),
    data: (status) => [status.series.at.map((second) => second - Math.round(status.at)), ...fields.map((field) => status.series[field])],
    description: (status) => lines().map((shown, index) => {
      const column = status.series[fields[index]];
      return `${shown.label} ${shown.value(null, column.length ? column[column.length - 1] : null)}`;
    }).join(", "),
  };
}

function drawHedgeDelay(chart) {
  if (latest.hedge_after_ms === null) return; // routes have several
  const x = chart.valToPos(latest.hedge_after_ms, "x", true);
  const { left, top, width, height } = chart.bbox;
  if (!latest.hedges_wanted || x > left + width) return;
  chart.ctx.save();
  chart.ctx.strokeStyle = ink("--soft");
  chart.ctx.lineWidth = devicePixelRatio;
  chart.ctx.beginPath();
  chart.ctx.moveTo(x, top);
  chart.ctx.lineTo(x, top + height);
  chart.ctx.stroke();
  chart.ctx.restore();
}

function legendHeight(element) {
  const legend = element.querySelector(".u-legend");
  return legend ? legend.offsetHeight : 24;
}

export function showCharts(status) {
  latest = status;
  for (const [id, plan] of Object.entries(plans)) {
    const element = byId(id);
    const data = plan.data(status);
    if (!charts[id]) {
      element.setAttribute("role", "img");
      charts[id] = new uPlot({ width: element.clientWidth, height: element.clientHeight - 24, cursor: { drag: { x: false, y: false } },
        ...plan.options() }, data, element);
      resize(id);
    } else {
      charts[id].setData(data);
    }
    if (charts[id].cursor.left < 0) charts[id].setLegend({ idx: plan.rests ? plan.rests(data) : data[0].length - 1 });
    element.setAttribute("aria-label", plan.description(status));
  }
}

function resize(id) {
  const element = byId(id);
  charts[id].setSize({ width: element.clientWidth, height: Math.max(element.clientHeight - legendHeight(element) - 4, 60) });
}

export function redraw() { // another colour scheme
  for (const id of Object.keys(charts)) {
    charts[id].destroy();
    delete charts[id];
  }
  if (latest) showCharts(latest);
}

export function resizeCharts() {
  Object.keys(charts).forEach(resize);
}
