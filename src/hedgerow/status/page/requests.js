// Recent requests, each with its attempts on one time line.

import { byId, draw, make, written } from "./format.js";

const ROW_PX = 9;

function ended(attempt, request) {
  return attempt.took_ms === null ? Math.max(request.took_ms, attempt.launched_at_ms) : attempt.launched_at_ms + attempt.took_ms;
}

function kind(attempt, request) {
  if (attempt.outcome === "pending") return "pending";
  if (attempt.outcome !== "success" && attempt.outcome !== "final") return "failed";
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
    const outcome = attempt.outcome + (attempt.detail ? ` (${attempt.detail})` : "") + (attempt.number === request.winner ? ", gave the answer" : attempt.loser ? ", after the race" : "");
    for (const text of [attempt.number, written(attempt.launched_at_ms, "ms"), written(attempt.took_ms, "ms"), outcome]) {
      row.insertCell().textContent = text;
    }
  }
  for (let number = request.attempts.length + 1; number <= request.attempts.length + request.hedges_held; number += 1) {
    const row = body.insertRow();
    for (const text of [number, written(null, "ms"), written(null, "ms"), "held"]) row.insertCell().textContent = text;
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
    bars, make("span", "route", request.route), make("span", "id", request.request_id));
  const limit = request.deadline_ms === null ? "" : `; deadline at ${written(request.deadline_ms, "ms")}`;
  details.append(summary, attemptsTable(request), make("p", "note", `X-Request-Id ${request.request_id}, route ${request.route}${limit}. Times of day are UTC.`));
  item.append(details);
  return item;
}

const shownRequests = new Map(); // by id and arrival: what is unchanged stays, so that what is open stays open

export function showRequests(requests) {
  const list = byId("recent");
  const took = requests.map((request) => request.took_ms).sort((one, other) => one - other);
  const longest = Math.max(100, ...requests.map((request) => Math.max(request.took_ms, ...request.attempts.map((attempt) => ended(attempt, request)))));
  // One time scale for all rows; a single request of 10 s must not shrink all others.
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
