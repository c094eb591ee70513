// What hedging would bring on a route: fetches /status.json?plan=WINDOW and shows the plan that the two handles choose.
// All predictions are made by the gateway; here one of them is looked up.
import { NOTHING as NONE, byId, setText as set, written } from "./format.js";
import { chosenRoute, routesAreKnown, severalRoutes, whenRouteChanges, withRoute } from "./routes.js";

const EVERY_MS = 10000;
const GIVE_UP_MS = 5000;
const HEADLINES = {
  helps: "Hedging would help", not_needed: "Hedging is not needed", does_not_help: "Hedging will not help",
  too_costly: "Hedging costs too much here", unknown: "Too little is known",
};
const delayHandle = byId("plan-delay");
const hedgesHandle = byId("plan-hedges");
const windowChoice = byId("plan-window");
let plan = null; // what /status.json?plan=WINDOW said last
let chosen = null; // {delay, hedges}: what the handles say; null until they are moved or first shown
let chart = null;

const percent = (share) => written(share, "percent");
const ms = (value) => (value === null ? "never" : written(value, "ms"));
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const delays = () => [...new Set(plan.report.plans.map((row) => row.hedge_after_ms))].sort((one, other) => one - other);
const nearest = (delay) => delays().reduce((best, one) => (Math.abs(one - delay) < Math.abs(best - delay) ? one : best), delays()[0]);

function row() { // the prediction for the handles
  if (!chosen.hedges) return plan.report.without;
  return plan.report.plans.find((one) => one.hedges === chosen.hedges && one.hedge_after_ms === chosen.delay) || plan.report.without;
}

function choose(delay, hedges) {
  chosen = { delay: nearest(delay), hedges };
  show();
}

function realBy(at) { // evenly between the bounds of the histogram, as for its quantiles
  const { le_ms, success_by } = plan.real;
  if (!success_by.length) return null;
  const index = le_ms.findIndex((le) => le >= at);
  if (index < 0) return success_by[success_by.length - 1];
  const [from, low] = index ? [le_ms[index - 1], success_by[index - 1]] : [0, 0];
  return low + ((success_by[index] - low) * (at - from)) / (le_ms[index] - from);
}

function realReached(share) {
  const { le_ms, success_by } = plan.real;
  const index = success_by.findIndex((reached) => reached >= share);
  if (index < 0) return null;
  const [from, low] = index ? [le_ms[index - 1], success_by[index - 1]] : [0, 0];
  return Math.round(10 * (from + ((le_ms[index] - from) * (share - low)) / (success_by[index] - low || 1))) / 10;
}

function figures(one) {
  const last = one.curve[one.curve.length - 1];
  return [one.attempts.toFixed(2), percent(last), ms(one.p50_ms), ms(one.p90_ms), ms(one.p99_ms)];
}

function realFigures() {
  const { requests, attempts } = plan.real;
  if (!requests) return new Array(5).fill(NONE);
  const end = plan.report.curve_ms[plan.report.curve_ms.length - 1];
  return [attempts === null ? NONE : attempts.toFixed(2), percent(realBy(end)), ...[0.5, 0.9, 0.99].map((share) => ms(realReached(share)))];
}

function showTable() {
  const { without, in_use, curve_ms } = plan.report;
  const columns = [figures(row()), figures(without), in_use ? figures(in_use) : new Array(5).fill(NONE), realFigures()];
  const names = ["attempts per request", `requests with a success by ${ms(curve_ms[curve_ms.length - 1])}`,
    "50 % of requests within", "90 % of requests within", "99 % of requests within"];
  byId("plan-figures").tBodies[0].replaceChildren(...names.map((name, index) => {
    const line = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    line.append(head, ...columns.map((column) => Object.assign(document.createElement("td"), { textContent: column[index] })));
    return line;
  }));
}

function showChart() {
  const { curve_ms, without, in_use } = plan.report;
  const real = curve_ms.map(realBy);
  const data = [curve_ms, row().curve, without.curve, in_use ? in_use.curve : curve_ms.map(() => null), real];
  const element = byId("plan-chart");
  if (!chart) {
    const line = (label, color, dash, width) => ({ label, stroke: ink(color), width: width || 2, dash, points: { show: false },
      value: (_, value) => (value === null || value === undefined ? NONE : percent(value)) });
    const axis = (values, more) => ({ stroke: ink("--soft"), grid: { stroke: ink("--rule"), width: 1 }, ticks: { stroke: ink("--rule"), width: 1 },
      font: "12px system-ui, sans-serif", size: 64, values: (_, splits) => splits.map(values), ...more });
    element.setAttribute("role", "img");
    chart = new uPlot({ width: element.clientWidth, height: element.clientHeight - 48, cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: [0, 1.02] } },
      series: [{ label: "by", value: (_, value) => (value === null ? NONE : ms(value)) }, line("chosen", "--first", undefined, 3),
        line("without", "--second", [6, 4]), line("as set, predicted", "--third", [2, 3]), line("real", "--good")],
      axes: [axis(ms, { size: 26, space: 60 }), axis((share) => `${Math.round(share * 100)} %`)] }, data, element);
  } else {
    chart.setData(data);
  }
  resize();
  const one = row();
  element.setAttribute("aria-label", `${one.hedges} hedges after ${ms(one.hedge_after_ms)}: 99 % of requests within ${ms(one.p99_ms)}; without hedging ${ms(without.p99_ms)}`);
}

function resize() {
  if (!chart || !plan) return;
  const element = byId("plan-chart");
  showRest(); // before its height is taken
  const legend = element.querySelector(".u-legend");
  const height = Math.max(element.clientHeight - (legend ? legend.offsetHeight : 24) - 4, 60);
  if (chart.width !== element.clientWidth || chart.height !== height) chart.setSize({ width: element.clientWidth, height });
  showRest(); // another size clears it
}

function showRest() { // what the legend says while nothing is pointed at
  if (chart.cursor.left < 0) chart.setLegend({ idx: plan.report.curve_ms.length - 1 });
}

function showHandles() {
  const all = delays();
  delayHandle.max = all.length - 1;
  delayHandle.value = all.indexOf(chosen.delay);
  hedgesHandle.max = Math.max(...plan.report.plans.map((one) => one.hedges), 1);
  hedgesHandle.value = chosen.hedges;
  const hedges = chosen.hedges === 0 ? "no hedge" : chosen.hedges === 1 ? "1 hedge" : `${chosen.hedges} hedges`;
  delayHandle.setAttribute("aria-valuetext", ms(chosen.delay));
  hedgesHandle.setAttribute("aria-valuetext", hedges);
  set(byId("plan-delay-value"), ms(chosen.delay));
  set(byId("plan-hedges-value"), hedges);
  byId("plan-to-recommended").hidden = !plan.report.recommended;
  byId("plan-to-in-use").hidden = !plan.hedging.hedges;
}

function likeness() {
  const found = plan.report.likeness;
  if (!found) return "Attempts are taken as independent, which was not measured: no request has been hedged yet.";
  const said = `Measured on ${found.samples} hedged requests: ${percent(found.measured)} of hedges succeeded within ${ms(found.within_ms)}; ` +
    `of independent ones it would be ${percent(found.independent)}. `;
  return said + (found.corrects ? "So attempts of a request are alike, and the predictions are corrected by it." : "So they are taken as independent.");
}

function asSet({ mode, sample, hedge_after_ms: delay, hedge_quantile: quantile, hedges }) {
  if (!hedges) return "As set: no hedges.";
  const after = quantile === null ? ms(delay) : `p${quantile * 100} of the last minute, now ${ms(delay)}`;
  const sampled = mode === "observe" ? ` Only observed: ${sample ? `${percent(sample)} of requests are hedged` : "no request is hedged"}.` : "";
  return `As set: ${hedges === 1 ? "1 hedge" : `${hedges} hedges`} after ${after}.${sampled}`;
}

function show() {
  const { report } = plan;
  const enough = report.without.curve.some((share) => share > 0); // without a success there is nothing to plan
  byId("plan-body").hidden = !enough;
  set(byId("plan-set"), enough ? asSet(plan.hedging) : "");
  set(byId("plan-verdict"), enough ? `${HEADLINES[report.verdict] || report.verdict}: ${report.reason}.` : "No success was observed in this time.");
  if (!enough) return;
  if (!chosen) chosen = { delay: nearest(plan.hedging.hedge_after_ms), hedges: plan.hedging.hedges || 1 };
  chosen.delay = nearest(chosen.delay);
  showHandles();
  showTable();
  showChart();
  set(byId("plan-likeness"), likeness());
  byId("plan-findings").replaceChildren(...report.findings.map((finding) => Object.assign(document.createElement("li"), { textContent: `${finding.text}.` })));
}

function showNone(text) {
  plan = null;
  byId("plan-body").hidden = true;
  set(byId("plan-verdict"), text);
  set(byId("plan-set"), "");
}

async function fetchPlan() {
  if (!routesAreKnown()) return;
  if (severalRoutes() && chosenRoute() === null) {
    showNone("Choose a route: hedging is planned for one at a time.");
    return;
  }
  const [wanted, route] = [windowChoice.value, chosenRoute()];
  const isOutdated = () => wanted !== windowChoice.value || route !== chosenRoute();
  try {
    const answer = await fetch(withRoute(`/status.json?plan=${wanted}`), { signal: AbortSignal.timeout(GIVE_UP_MS), cache: "no-store" });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const found = await answer.json();
    if (isOutdated()) return;
    plan = found;
    show();
  } catch (error) {
    if (!plan) set(byId("plan-verdict"), "It cannot be read at the moment.");
  }
}

async function keepFetching() {
  if (!document.hidden && byId("pause").getAttribute("aria-pressed") !== "true") await fetchPlan();
  setTimeout(keepFetching, EVERY_MS);
}

delayHandle.addEventListener("input", () => plan && choose(delays()[delayHandle.value], chosen.hedges || 1));
hedgesHandle.addEventListener("input", () => plan && choose(chosen.delay, Number(hedgesHandle.value)));
windowChoice.addEventListener("change", fetchPlan);
byId("plan-to-in-use").addEventListener("click", () => choose(plan.hedging.hedge_after_ms, plan.hedging.hedges));
byId("plan-to-recommended").addEventListener("click", () => {
  const { hedge_after_ms, hedges } = plan.report.recommended;
  choose(hedge_after_ms, hedges);
});
whenRouteChanges(() => { // its handles begin where that route is set
  chosen = null;
  showNone("…");
  fetchPlan();
});
addEventListener("resize", resize);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (chart) chart.destroy();
  chart = null;
  if (plan) show();
});
keepFetching();
