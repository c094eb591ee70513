// Fetches /status.json each second and shows it. All figures come from /status.json; only their format is made here.
// Elements with `data-value` (a path into it) and `data-format` fill themselves.

import { redraw, resizeCharts, showCharts } from "./charts.js";
import { at, byId, draw, make, setText, written } from "./format.js";
import { showRequests } from "./requests.js";
import { SIGNS, chosenRoute, routeIsGone, severalRoutes, showByRoute, whenRouteChanges, withRoute } from "./routes.js";

const REFRESH_INTERVAL_MS = 1000;
const FETCH_TIMEOUT_MS = 3000;
const MARKS = {
  healthy: "M14 25l7 7l14-16",
  degraded: "M24 13v14M24 34v.5",
  failing: "M16 16l16 16M32 16l-16 16",
  starting: "M24 13v12l8 6",
  unknown: "M14 24h.5M24 24h.5M34 24h.5",
};

function showVerdict(verdict) {
  const section = byId("verdict");
  if (section.dataset.state !== verdict.state) {
    section.dataset.state = verdict.state;
    section.querySelector(".mark").setAttribute("d", MARKS[verdict.state]);
  }
  const route = chosenRoute();
  document.title = `${SIGNS[verdict.state]} ${verdict.state} – ${route === null ? "" : `${route} – `}hedgerow`;
}

function showGateway(gateway) {
  const section = byId("gateway");
  section.dataset.state = gateway.state;
  section.hidden = gateway.state === "healthy"; // shown only when something is wrong with it
}

function showConfiguration(configuration) {
  const rejected = configuration.error === null ? "" : `The configuration file was rejected, nothing of it is in effect. ${configuration.error}. `;
  const restart = configuration.needs_restart.length ? `Changed, and in effect after a restart: ${configuration.needs_restart.join("; ")}.` : "";
  byId("configuration").hidden = !(rejected || restart);
  setText(byId("configuration-problem"), rejected + restart);
}

function showValues(status) {
  for (const element of document.querySelectorAll("[data-value]")) {
    setText(element, written(at(status, element.dataset.value), element.dataset.format));
  }
  for (const id of ["about-delay", "delay-is-drawn"]) byId(id).hidden = status.hedge_after_ms === null;
  byId("load-of-all").hidden = !severalRoutes();
  const without = status.hedging.without_hedging;
  const open = status.hedging.unknown > 0;
  setText(byId("at-most"), open ? `at most ${written(without.success_rate_at_most, "percent")}; ${status.hedging.unknown} unknown` : "");
  const shed = Object.entries(status.load.shed).map(([reason, times]) => `${times} by ${reason}`);
  const rejected = shed.length ? `Rejected in the last ${written(status.window_s, "s")}: ${shed.join(", ")}. ` : "";
  const rateLimit = status.load.admission_rate_limit === null ? "" : `Short of CPU: at most ${written(status.load.admission_rate_limit, "per_s")} are admitted.`;
  setText(byId("shed"), rejected + rateLimit);
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

// -- refreshing

let latest = null;
let paused = false;
let found = null; // the result of a search, shown instead of the newest requests

function show(status) {
  latest = status;
  showByRoute(status);
  showVerdict(status.verdict);
  showGateway(status.gateway);
  showConfiguration(status.configuration);
  showValues(status);
  showBars("failures", status.attempts.failures, "none");
  showBars("outcomes", status.requests.by_outcome, "no requests");
  showCharts(status);
  if (!found) showRequests(status.recent);
}

function alive(text, stale) {
  setText(byId("live"), text);
  byId("live").parentElement.classList.toggle("stale", stale);
}

async function fetchStatus() {
  const [route, wasPaused] = [chosenRoute(), paused];
  const isOutdated = () => route !== chosenRoute() || wasPaused !== paused; // what was asked for is not wanted any more
  try {
    const answer = await fetch(withRoute("/status.json"), { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
    if (answer.status === 404 && route !== null && !isOutdated()) {
      routeIsGone();
      return;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const status = await answer.json();
    if (isOutdated()) return;
    show(status);
    alive(paused ? "paused" : "live, each second", false);
  } catch (error) {
    const since = latest ? ` since ${new Date(latest.at * 1000).toISOString().slice(11, 19)} UTC` : "";
    alive(`✕ no answer from the gateway${since}`, true);
    console.debug(error);
  }
}

async function refresh() {
  if (!paused && !document.hidden) await fetchStatus();
  setTimeout(refresh, REFRESH_INTERVAL_MS);
}

whenRouteChanges(() => { // at once, and also where the page is paused
  if (!latest || latest.route !== chosenRoute()) fetchStatus();
});

byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  if (paused) alive("paused", false);
});

byId("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = byId("request-id").value.trim();
  if (!id) return;
  let [records, said] = [[], "No answer from the gateway."];
  try {
    const answer = await fetch(`/status.json?request_id=${encodeURIComponent(id)}`, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
    const body = await answer.json();
    if (answer.ok) [records, said] = [body.requests, `${body.requests.length} found.`];
    else if (answer.status === 404) said = "Not found: only the last 1 000 admitted requests of each worker are kept.";
    else said = body.detail;
  } catch (error) {
    console.debug(error);
  }
  found = records;
  setText(byId("found"), said);
  event.target.querySelector("[type=reset]").hidden = false;
  showRequests(found);
  if (found.length) byId("recent").querySelector("details").open = true;
});

byId("find").addEventListener("reset", (event) => {
  found = null;
  setText(byId("found"), "");
  event.target.querySelector("[type=reset]").hidden = true;
  byId("request-id").focus();
  if (latest) showRequests(latest.recent);
});

new ResizeObserver(resizeCharts).observe(document.querySelector("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
refresh();
