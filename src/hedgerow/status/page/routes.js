// The choice of a route, which the address of the page has, so that it can be linked; and the tables of routes and
// upstreams. Names are of a configuration file: they are only ever set as text.

import { byId, make, setText, written } from "./format.js";

export const SIGNS = { healthy: "✓", degraded: "!", failing: "✕", starting: "○", unknown: "…" };

const choice = byId("route");
const listeners = [];
let names = []; // none until they are known
let route = new URLSearchParams(location.search).get("route"); // null: all of them

export const chosenRoute = () => route;
export const whenRouteChanges = (listener) => listeners.push(listener); // another one is chosen, or there are others
export const routesAreKnown = () => names.length > 0;
export const severalRoutes = () => names.length > 1;

export function withRoute(path) { // a path of the admin port, for the route that is chosen
  if (route === null) return path;
  return `${path}${path.includes("?") ? "&" : "?"}route=${encodeURIComponent(route)}`;
}

function changed() {
  for (const listener of listeners) listener();
}

function take(name) {
  route = name;
  choice.selectedIndex = names.indexOf(name) + 1;
  setText(byId("no-such-route"), "");
  changed();
}

function choose(name) {
  history.pushState(null, "", name === null ? "/status" : `/status?route=${encodeURIComponent(name)}`);
  take(name);
}

export function routeIsGone() { // it was linked, or is not in the configuration any more
  const gone = route;
  history.replaceState(null, "", "/status");
  take(null);
  setText(byId("no-such-route"), `There is no route ${gone}. All routes are shown.`);
}

function showChoice(routes) {
  const wanted = routes.map((one) => one.name);
  byId("route-choice").hidden = wanted.length < 2;
  if (wanted.join("\n") === names.join("\n")) return;
  names = wanted;
  choice.replaceChildren(make("option", "", "all"), ...names.map((name) => make("option", "", name)));
  choice.selectedIndex = names.indexOf(route) + 1;
  changed();
}

function cells(row, values) {
  for (const value of values) row.append(make("td", "", value));
  return row;
}

function stateSign(state) {
  const sign = make("span", "state", SIGNS[state]);
  sign.dataset.state = sign.title = state;
  sign.setAttribute("role", "img");
  sign.setAttribute("aria-label", state);
  return sign;
}

function routeName(name, state) {
  const head = make("th");
  head.scope = "row";
  const link = make("a", "", name);
  link.href = `/status?route=${encodeURIComponent(name)}`;
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab of its own
    event.preventDefault();
    choose(name);
    choice.focus();
  });
  head.append(stateSign(state), link);
  return head;
}

function delay(hedging) {
  if (!hedging.max_hedges) return "no hedges";
  const mode = hedging.mode === "observe" ? ", observed" : "";
  return `${written(hedging.after_ms, "ms")}${hedging.quantile === null ? "" : ` (p${hedging.quantile * 100})`}${mode}`;
}

function routeFigures({ requests, latency, attempts, hedging, in_flight: inFlight }) {
  return [written(requests.per_s, "per_s"), written(requests.success_rate, "percent"), written(latency.p50_ms, "ms"),
    written(latency.p99_ms, "ms"), written(attempts.per_request, "plain"), delay(hedging), written(hedging.fired, "count"),
    written(hedging.held, "count"), written(inFlight, "count")];
}

// A row stays while its route does: a link that has the focus keeps it.
function showRoutes(status) {
  byId("routes").hidden = names.length < 2 || route !== null;
  if (byId("routes").hidden) return;
  const body = byId("routes-table").tBodies[0];
  status.routes.forEach((one, index) => {
    let row = body.rows[index];
    if (!row || row.dataset.name !== one.name) {
      const made = make("tr");
      made.dataset.name = one.name;
      made.append(routeName(one.name, one.verdict.state));
      cells(made, routeFigures(one));
      if (row) row.replaceWith(made);
      else body.append(made);
      row = made;
    }
    const sign = row.querySelector(".state");
    if (sign.dataset.state !== one.verdict.state) sign.replaceWith(stateSign(one.verdict.state));
    routeFigures(one).forEach((value, column) => setText(row.cells[column + 1], value));
  });
  while (body.rows.length > status.routes.length) body.lastChild.remove();
  const unrouted = Object.entries(status.unrouted).map(([code, times]) => `${times} ${code}`);
  setText(byId("unrouted"), unrouted.length ? `Requests that no route has: ${unrouted.join(", ")}.` : "");
}

function endpointState({ ejected_workers: ejected, unreachable_workers: unreachable }, workers) {
  const of = (number) => (workers > 1 ? ` by ${number} of ${workers} workers` : "");
  const said = [ejected ? `left out${of(ejected)}` : "", unreachable ? `unreachable${of(unreachable)}` : ""].filter((one) => one);
  return said.length ? said.join(", ") : "in use";
}

function showUpstreams(status) {
  const used = status.routes.filter((one) => route === null || one.name === route).map((one) => one.upstream);
  const shown = status.upstreams.filter((one) => used.includes(one.name));
  const several = status.upstreams.length > 1 || status.upstreams.some((one) => one.endpoints.length > 1);
  byId("upstreams").hidden = !several;
  if (!several) return;
  byId("upstreams-table").replaceChildren(byId("upstreams-table").tHead, ...shown.map((one) => {
    const body = make("tbody");
    const row = body.insertRow();
    const head = make("th", "", one.name);
    head.scope = "rowgroup";
    row.append(head);
    const inFlight = one.endpoints.reduce((sum, endpoint) => sum + endpoint.in_flight, 0);
    cells(row, ["", one.endpoints.length ? written(inFlight, "count") : written(null), written(one.attempts.per_s, "per_s"),
      written(one.attempts.success_rate, "percent"), written(one.latency.p50_ms, "ms"), written(one.latency.p99_ms, "ms")]);
    for (const endpoint of one.endpoints) {
      const line = body.insertRow();
      line.className = "endpoint";
      const place = make("th", "", `${endpoint.url} at ${endpoint.address}`);
      place.scope = "row";
      line.append(place);
      cells(line, [endpointState(endpoint, status.workers.ready), written(endpoint.in_flight, "count"), "", "", "", ""]);
    }
    return body;
  }));
}

function showVerdicts(status) {
  const by = (state) => status.routes.filter((one) => one.verdict.state === state).map((one) => one.name);
  const said = names.length < 2 || route !== null ? [] : ["failing", "degraded"].filter((state) => by(state).length)
    .map((state) => `${state}: ${by(state).join(", ")}`);
  setText(byId("verdict-routes"), said.length ? `By route, ${said.join("; ")}.` : "");
  const subject = status.upstreams.length > 1 && route === null ? "Verdict on the upstreams" : "Verdict on the upstream";
  setText(byId("verdict-subject"), route === null ? subject : `${subject}, by route ${route}`);
  setText(byId("upstream-name"), status.upstreams.length > 1 && route === null ? "The upstreams" : "The upstream");
}

export function showByRoute(status) {
  showChoice(status.routes);
  document.body.classList.toggle("several", names.length > 1 && route === null);
  showVerdicts(status);
  showRoutes(status);
  showUpstreams(status);
}

choice.addEventListener("change", () => choose(choice.selectedIndex ? names[choice.selectedIndex - 1] : null));
addEventListener("popstate", () => take(new URLSearchParams(location.search).get("route")));
