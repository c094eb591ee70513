"use strict";
// Fetches /status.json each second and shows it. Nothing is computed here that /status.json does not say, but for
// how a number is written. Elements with `data-value` (a path into it) and `data-format` fill themselves.

const EVERY_MS = 1000;
const GIVE_UP_MS = 3000;
const NOTHING = "–";
const ROW_PX = 9;
const SVG = "http://www.w3.org/2000/svg";
const MARKS = {
  healthy: "M14 25l7 7l14-16",
  degraded: "M24 13v14M24 34v.5",
  failing: "M16 16l16 16M32 16l-16 16",
  starting: "M24 13v12l8 6",
  silent: "M14 24h.5M24 24h.5M34 24h.5",
};
const SIGNS = { healthy: "✓", degraded: "!", failing: "✕", starting: "○", silent: "…" };
const byId = (id) => document.getElementById(id);

// -- how things are written

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

function written(value, format) {
  return value === null || value === undefined ? NOTHING : formats[format](value);
}

function at(status, path) {
  return path.split(".").reduce((part, name) => (part === null || part === undefined ? null : part[name]), status);
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text; // else a screen reader would say it each second
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// -- the parts

function showVerdict(verdict) {
  const section = byId("verdict");
  if (section.dataset.state !== verdict.state) {
    section.dataset.state = verdict.state;
    section.querySelector(".mark").setAttribute("d", MARKS[verdict.state]);
  }
  document.title = `${SIGNS[verdict.state]} ${verdict.state} – hedgerow`;
}

function showGateway(gateway) {
  const section = byId("gateway");
  section.dataset.state = gateway.state;
  section.hidden = gateway.state === "healthy"; // it is worth a line only when something is wrong with it
}

function showConfiguration(configuration) {
  const rejected = configuration.error === null ? "" : `The configuration file was rejected, nothing of it is in effect. ${configuration.error}. `;
  const restart = configuration.needs_restart.length ? `Changed, and in effect after a restart: ${configuration.needs_restart.join("; ")}.` : "";
  byId("configuration").hidden = !(rejected || restart);
  say(byId("configuration-problem"), rejected + restart);
}

function showValues(status) {
  for (const element of document.querySelectorAll("[data-value]")) {
    say(element, written(at(status, element.dataset.value), element.dataset.format));
  }
  const without = status.hedging.without_hedging;
  const open = status.hedging.unknown > 0;
  say(byId("at-most"), open ? `at most ${written(without.success_rate_at_most, "percent")}; ${status.hedging.unknown} unknown` : "");
  const shed = Object.entries(status.load.shed).map(([reason, times]) => `${times} by ${reason}`);
  const refused = shed.length ? `Refused in the last ${written(status.window_s, "s")}: ${shed.join(", ")}. ` : "";
  const pace = status.load.pace === null ? "" : `Short of CPU: at most ${written(status.load.pace, "per_s")} are let in.`;
  say(byId("shed"), refused + pace);
}

function showBars(id, counts, nothing) {
  const body = byId(id).tBodies[0];
  const rows = Object.entries(counts).sort((one, other) => other[1] - one[1]);
  const total = rows.reduce((sum, [, times]) => sum + times, 0);
  const drawn = rows.map(([name, times]) => {
    const row = make("tr");
    row.dataset.name = name;
    const bar = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    bar.append(draw("rect", { width: (100 * times) / total, height: 10 }));
    const cell = make("td");
    cell.append(bar);
    row.append(make("td", "", name), make("td", "times", String(times)), cell);
    return row;
  });
  if (!drawn.length) {
    drawn.push(make("tr"));
    drawn[0].append(make("td", "none", nothing));
  }
  body.replaceChildren(...drawn);
}

// -- charts

const charts = {};
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

const unsure = (low, high) => [0, Math.max(high || 0, low || 0) * 1.1 || 1]; // from 0, with air above
const minutes = (seconds) => (seconds === 0 ? "now" : `${seconds % 60 ? seconds : `${seconds / 60} min`}`);
const since = { label: "at", value: (_, seconds) => (seconds === null ? NOTHING : seconds === 0 ? "now" : `${-seconds} s ago`) };
const overTime = () => axis(minutes, { size: 26, space: 60, incrs: [10, 30, 60, 120] });
const whole = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
const share = (value) => `${Math.round(value * 100)} %`;
const fromZero = { range: (_, low, high) => unsure(low, high) };
const ofAll = { range: [0, 1.02] };

// What each chart looks like, and its data. The first data column is x.
const plans = {
  "success-by": {
    options: () => ({
      scales: { x: { time: false }, y: ofAll },
      series: [{ label: "by", value: (_, ms) => written(ms, "ms") },
        line("with hedging", "--first", "percent"), line("without", "--second", "percent", [6, 4])],
      axes: [axis((ms) => written(ms, "ms"), { size: 26, space: 60 }), axis(share)],
      hooks: { draw: [drawHedgeMark] },
    }),
    data: ({ hedging }) => {
      const curves = [hedging.with_hedging.success_by, hedging.without_hedging.success_by];
      const settled = (curve) => Math.max(curve.findIndex((value) => value >= curve[curve.length - 1]), 0);
      const shown = Math.max(...curves.map(settled), hedging.le_ms.findIndex((le) => le >= 600)) + 1;
      return [[0, ...hedging.le_ms.slice(0, shown)],
        ...curves.map((curve) => (curve.length ? [0, ...curve.slice(0, shown)] : new Array(shown + 1).fill(null)))];
    },
    told: ({ hedging }) => `with hedging ${written(hedging.with_hedging.success_rate, "percent")} of callers get a success, ` +
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
    told: ({ attempts }) => `half within ${written(attempts.latency.p50_ms, "ms")}, 99 % within ${written(attempts.latency.p99_ms, "ms")}`,
  },
  rates: series(() => [line("requests", "--first", "percent"), line("attempts", "--second", "percent", [6, 4])], share, ofAll,
    ["request_success_rate", "attempt_success_rate"]),
  traffic: series(() => [line("requests", "--first", "per_s"), line("hedges", "--second", "per_s", [6, 4]),
    line("refused", "--third", "per_s", [2, 3])], whole, fromZero, ["requests_per_s", "hedges_per_s", "shed_per_s"]),
  quantiles: series(() => [line("p50", "--first", "ms"), line("p99", "--second", "ms", [6, 4])], (ms) => written(ms, "ms"), fromZero,
    ["attempt_p50_ms", "attempt_p99_ms"]),
  lag: series(() => [line("in flight", "--first", "count"), line("loop turn", "--second", "ms", [6, 4], "ms")], whole, fromZero,
    ["in_flight", "loop_turn_p99_ms"], { ms: fromZero }, () => [axis((ms) => written(ms, "ms"), { scale: "ms", side: 1, grid: { show: false } })]),
};

function series(lines, values, y, fields, scales, axes) {
  return {
    options: () => ({
      scales: { x: { time: false, range: [-300, 0] }, y, ...(scales || {}) },
      series: [since, ...lines()], axes: [overTime(), axis(values), ...(axes ? axes() : [])],
    }),
    data: (status) => [status.series.at.map((second) => second - Math.round(status.at)), ...fields.map((field) => status.series[field])],
    told: (status) => lines().map((shown, index) => {
      const column = status.series[fields[index]];
      return `${shown.label} ${shown.value(null, column.length ? column[column.length - 1] : null)}`;
    }).join(", "),
  };
}

function drawHedgeMark(chart) {
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

function showCharts(status) {
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
    element.setAttribute("aria-label", plan.told(status));
  }
}

function resize(id) {
  const element = byId(id);
  charts[id].setSize({ width: element.clientWidth, height: Math.max(element.clientHeight - legendHeight(element) - 4, 60) });
}

function drawAnew() { // another colour scheme
  for (const id of Object.keys(charts)) {
    charts[id].destroy();
    delete charts[id];
  }
  if (latest) showCharts(latest);
}

// -- requests

function ended(attempt, request) {
  return attempt.took_ms === null ? Math.max(request.took_ms, attempt.launched_at_ms) : attempt.launched_at_ms + attempt.took_ms;
}

function kind(attempt, request) {
  if (attempt.outcome === "pending") return "pending";
  if (attempt.outcome !== "success") return "failed";
  return attempt.number === request.winner ? "winner" : "success";
}

function waterfall(request, span) {
  const rows = Math.max(request.attempts.length, 1);
  const height = rows * 10;
  const x = (ms) => Math.min((1000 * Math.max(ms, 0)) / span, 1000);
  const image = draw("svg", { viewBox: `0 0 1010 ${height}`, height: rows * ROW_PX, preserveAspectRatio: "none", "aria-hidden": "true" });
  request.attempts.forEach((attempt, row) => {
    const [from, to] = [x(attempt.launched_at_ms), x(ended(attempt, request))];
    const how = kind(attempt, request);
    const inset = how === "winner" ? 1 : 2.5;
    image.append(draw("rect", { class: `bar ${how}`, x: from, y: row * 10 + inset, width: Math.max(to - from, 3), height: 10 - 2 * inset }));
    if (how === "failed") image.append(draw("path", { class: "cross", d: `M${to + 2} ${row * 10 + 1.5}l9 7m0-7l-9 7` }));
  });
  image.append(draw("path", { class: "answered", d: `M${x(request.took_ms)} 0v${height}` }));
  return image;
}

function attemptsTable(request) {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const name of ["attempt", "sent after", "took", "outcome"]) head.append(make("th", "", name));
  const body = table.createTBody();
  for (const attempt of request.attempts) {
    const row = body.insertRow();
    const outcome = attempt.outcome + (attempt.detail ? ` (${attempt.detail})` : "") + (attempt.number === request.winner ? ", gave the answer" : attempt.lost ? ", after the race" : "");
    for (const text of [attempt.number, written(attempt.launched_at_ms, "ms"), written(attempt.took_ms, "ms"), outcome]) {
      row.insertCell().textContent = text;
    }
  }
  return table;
}

function requestItem(request, span) {
  const item = make("li");
  const details = make("details");
  const summary = make("summary");
  const time = make("time", "at", new Date(request.at * 1000).toISOString().slice(11, 19));
  time.dateTime = new Date(request.at * 1000).toISOString();
  const tries = `${request.attempts.length} ${request.attempts.length === 1 ? "attempt" : "attempts"}`;
  const bars = make("span", "waterfall");
  bars.append(waterfall(request, span), make("span", "hidden", tries));
  summary.append(time, make("span", `code ${request.code}`, request.code), make("span", "took", written(request.took_ms, "ms")),
    bars, make("span", "id", request.request_id));
  const limit = request.deadline_ms === null ? "" : `; answered by ${written(request.deadline_ms, "ms")} at the latest`;
  details.append(summary, attemptsTable(request), make("p", "note", `X-Request-Id ${request.request_id}${limit}. Times of day are UTC.`));
  item.append(details);
  return item;
}

const shownRequests = new Map(); // by id and arrival: what is unchanged stays, so that what is open stays open

function showRequests(requests) {
  const list = byId("recent");
  const took = requests.map((request) => request.took_ms).sort((one, other) => one - other);
  const longest = Math.max(100, ...requests.map((request) => Math.max(request.took_ms, ...request.attempts.map((attempt) => ended(attempt, request)))));
  // One time line for all rows; a request of 10 s does not press all others flat.
  const span = Math.ceil(Math.min(longest, Math.max(3 * (took[took.length >> 1] || 0), 1000)) / 100) * 100;
  const keys = new Set();
  const items = requests.map((request) => {
    const key = `${request.request_id} ${request.at}`;
    const text = `${span} ${JSON.stringify(request)}`;
    keys.add(key);
    const shown = shownRequests.get(key);
    if (shown && shown.text === text) return shown.item;
    const item = requestItem(request, span);
    if (shown) {
      item.firstChild.open = shown.item.firstChild.open;
      if (shown.item.contains(document.activeElement)) queueMicrotask(() => item.querySelector("summary").focus());
    }
    shownRequests.set(key, { item, text });
    return item;
  });
  for (const key of shownRequests.keys()) if (!keys.has(key)) shownRequests.delete(key);
  const focused = document.activeElement;
  items.forEach((item, index) => {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] || null);
  });
  while (list.children.length > items.length) list.lastChild.remove();
  if (focused && focused !== document.activeElement && list.contains(focused)) focused.focus();
}

// -- its life

let latest = null;
let paused = false;
let found = null; // what a search found stands in place of the newest requests

function show(status) {
  latest = status;
  showVerdict(status.verdict);
  showGateway(status.gateway);
  showConfiguration(status.configuration);
  showValues(status);
  showBars("failures", status.attempts.failures, "none");
  showBars("outcomes", status.requests.by_outcome, "nobody asked");
  showCharts(status);
  if (!found) showRequests(status.recent);
}

function alive(text, stale) {
  say(byId("live"), text);
  byId("live").parentElement.classList.toggle("stale", stale);
}

async function refresh() {
  if (!paused && !document.hidden) {
    try {
      const answer = await fetch("/status.json", { signal: AbortSignal.timeout(GIVE_UP_MS) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const status = await answer.json();
      if (!paused) {
        show(status);
        alive("live, each second", false);
      }
    } catch (error) {
      const since = latest ? ` since ${new Date(latest.at * 1000).toISOString().slice(11, 19)} UTC` : "";
      alive(`✕ no answer from the gateway${since}`, true);
      console.debug(error);
    }
  }
  setTimeout(refresh, EVERY_MS);
}

byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  if (paused) alive("paused", false);
});

byId("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = byId("request-id").value.trim();
  if (!id) return;
  const answer = await fetch(`/status.json?request_id=${encodeURIComponent(id)}`);
  found = answer.ok ? (await answer.json()).requests : [];
  say(byId("found"), found.length ? `${found.length} found.` : "Not found: only the last 1 000 admitted requests of each worker are kept.");
  event.target.querySelector("[type=reset]").hidden = false;
  showRequests(found);
  if (found.length) byId("recent").querySelector("details").open = true;
});

byId("find").addEventListener("reset", (event) => {
  found = null;
  say(byId("found"), "");
  event.target.querySelector("[type=reset]").hidden = true;
  byId("request-id").focus();
  if (latest) showRequests(latest.recent);
});

new ResizeObserver(() => Object.keys(charts).forEach(resize)).observe(document.querySelector("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
refresh();
