"use strict";
// Reads the router's reports and shows them. The page holds no figures of its own and writes nothing but text.

const KEY = "llm-router-key";
const at = (id) => document.getElementById(id);
const state = { reports: null, zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC", turn: 0 };

class Refused extends Error {
  constructor(status, error) {
    super(error?.message ? `${error.field ? `${error.field} ` : ""}${error.message}` : `the router answered ${status}`);
    this.status = status;
    this.field = error?.field;
  }
}

async function ask(path, parameters = {}) {
  const key = sessionStorage.getItem(KEY);
  const query = new URLSearchParams(parameters).toString();
  const response = await fetch(query ? `${path}?${query}` : path, {
    headers: key ? { Authorization: `Bearer ${key}` } : {}, cache: "no-store", credentials: "omit",
  });
  const body = await response.json().catch(() => null);
  // Health that is bad comes as 503, and is a report all the same.
  if (!body || (!response.ok && !body.parts)) throw new Refused(response.status, body?.error);
  return body;
}

async function askReports(days) {
  const period = { days, tz: state.zone };
  try {
    return await Promise.all([
      ask("/api/v1/analytics/summary", period),
      ask("/api/v1/analytics/daily", period),
      ask("/api/v1/analytics/costs", { ...period, by: "model" }),
    ]);
  } catch (error) {
    if (error.field !== "tz" || state.zone === "UTC") throw error;
    state.zone = "UTC"; // a zone that the router does not know
    return askReports(days);
  }
}

function show(id, text, value) {
  at(id).textContent = text;
  if (value !== undefined && value !== null) at(id).dataset.value = value;
  else delete at(id).dataset.value;
}

function showFigures(summary) {
  const { total_requests: requests, net_savings: saved } = summary;
  const against = `against ${summary.baseline_model}`;
  show("spent", usd(summary.actual_cost), summary.actual_cost);
  const tokens = summary.input_tokens + summary.output_tokens;
  show("spent-note", `${count(requests)} requests, ${count(tokens)} tokens`);
  show("saving", saved === null ? "unknown" : usd(saved), saved);
  show("saving-note", saved === null ? against
    : saved < 0 ? `cost more: ${usd(-saved)} ${against}`
    : `${summary.savings_percentage === null ? "" : `${percent(summary.savings_percentage)} `}${against}`);
  at("saving").className = saved < 0 ? "loss" : "";
  show("hit-rate", percent(summary.cache_hit_rate), summary.cache_hit_rate);
  show("hit-rate-note", `${count(summary.cache_hits)} answered from the cache, ${count(summary.failed_requests)} failed`);
  show("latency-p95", duration(summary.latency_p95_ms), summary.latency_p95_ms);
  show("latency-note", `p50 ${duration(summary.latency_p50_ms)}, p99 ${duration(summary.latency_p99_ms)}`);
  show("elsewhere-name", `On ${summary.baseline_model}`);
  show("elsewhere", usd(summary.baseline_cost), summary.baseline_cost);
}

function showBaselines(summary) {
  const spent = summary.actual_cost;
  const rows = [["Spent", spent, ""], ...Object.entries(summary.baselines).map(([model, cost]) =>
    [model, cost, saving(cost === null ? null : cost - spent)])];
  draw(at("baselines"), {
    open: true,
    words: rows.map(([name, cost, note]) => `${name} ${usd(cost)}${note && ` (${note})`}`).join(", "),
    headings: ["Model", "Cost", "This router"],
    rows: rows.map(([name, cost, note]) => [name, [usd(cost), cost], note]),
    chart: (options) => lying(options, ([name]) => name, rows, ([, cost]) => cost, { callback: (value) => usd(value) }),
  });
}

function showCost({ days }) {
  const models = Object.keys(days[0].baselines);
  draw(at("cost"), {
    words: `What the router spent on each of ${days.length} days, and what ${models.join(", ")} would have cost.`,
    headings: ["Day", "Spent", ...models],
    rows: days.map((each) => [each.day, [usd(each.actual_cost), each.actual_cost],
      ...models.map((model) => [usd(each.baselines[model]), each.baselines[model]])]),
    chart: (options) => {
      options.scales.y = logarithmic(options, (value) => usd(value));
      return { options, data: { labels: days.map((each) => day(each.day)), datasets: [
        line("Spent", positive(days.map((each) => each.actual_cost)), 1, { borderWidth: 3 }),
        ...models.map((model, index) => line(model, positive(days.map((each) => each.baselines[model])), index + 2,
          { borderDash: [5, 3] })),
      ] } };
    },
  });
}

function showRequests({ days }) {
  const others = (each) => each.requests - each.cache_hits - each.generated_requests;
  draw(at("requests"), {
    words: `Requests on each of ${days.length} days, and how many percent of them the cache answered.`,
    headings: ["Day", "Requests", "From the cache", "Generated", "Joined, failed or cancelled", "Hit rate"],
    rows: days.map((each) => [each.day, [count(each.requests), each.requests], [count(each.cache_hits), each.cache_hits],
      count(each.generated_requests), count(others(each)), [percent(each.cache_hit_rate), each.cache_hit_rate]]),
    chart: (options) => {
      options.scales.x.stacked = true;
      options.scales.y = { ...options.scales.y, stacked: true, ticks: { ...options.scales.y.ticks, precision: 0 } };
      options.scales.rate = { ...options.scales.y, stacked: false, position: "right", max: 100, grid: { display: false },
        ticks: { ...options.scales.y.ticks, callback: (value) => percent(value) } };
      return { options, data: { labels: days.map((each) => day(each.day)), datasets: [
        line("Hit rate", days.map((each) => (each.requests ? each.cache_hit_rate : null)), 3, { yAxisID: "rate" }),
        bars("From the cache", days.map((each) => each.cache_hits), 1),
        bars("Generated", days.map((each) => each.generated_requests), 4),
        bars("Joined, failed or cancelled", days.map(others), 5),
      ] } };
    },
  });
}

function showLatency({ days }) {
  const percentiles = ["p50", "p95", "p99"];
  draw(at("latency"), {
    words: `How long half, 95 and 99 percent of the requests took at most, on each of ${days.length} days.`,
    headings: ["Day", ...percentiles],
    rows: days.map((each) => [each.day, ...percentiles.map((name) => {
      const ms = each[`latency_${name}_ms`];
      return [duration(ms), ms];
    })]),
    chart: (options) => {
      options.scales.y = logarithmic(options, duration);
      return { options, data: { labels: days.map((each) => day(each.day)), datasets: percentiles.map((name, index) =>
        line(name, positive(days.map((each) => each[`latency_${name}_ms`])), index + 1)) } };
    },
  });
}

function showShares(figure, heading, rows, more = []) {
  const all = rows.reduce((sum, row) => sum + row.requests, 0);
  const busiest = rows.filter((row) => row.requests).map((row) => `${row.name} ${share(row.requests, all)}`).join(", ");
  draw(figure, {
    words: busiest || "No requests.",
    headings: [heading, "Requests", "Share", ...more.map(([name]) => name)],
    rows: rows.map((row) => [row.name, [count(row.requests), row.requests], share(row.requests, all),
      ...more.map(([, cell]) => cell(row))]),
    chart: (options) => lying(options, (row) => `${row.name}, ${share(row.requests, all)}`, rows, (row) => row.requests,
      { precision: 0 }),
  });
}

function showReports() {
  const [summary, daily, costs] = state.reports;
  const { first_day: first, last_day: last, time_zone: zone } = summary.period;
  show("period", `${first} to ${last}, days of ${zone}`);
  showFigures(summary);
  showBaselines(summary);
  showCost(daily);
  showRequests(daily);
  showLatency(daily);
  showShares(at("tiers"), "Tier",
    ["simple", "medium", "complex"].map((name) => ({ name, requests: summary.requests_by_complexity[name] ?? 0 })));
  showShares(at("models"), "Model", costs.rows, [
    ["Cost", (row) => [usd(row.actual_cost), row.actual_cost]],
    ["Saving", (row) => saving(row.net_savings)],
  ]);
}

function pair(name, text, value) {
  const description = element("dd", text);
  if (value !== undefined) description.dataset.value = value;
  return [element("dt", name), description];
}

function showState(health, models) {
  const { inference_queue: queue, ollama: box } = health.parts;
  at("box").replaceChildren(
    ...pair("Router", health.status),
    ...pair("Waiting", queue.waiting === undefined ? "unknown" : count(queue.waiting), queue.waiting),
    ...pair("With a worker", queue.in_flight === undefined ? "unknown" : count(queue.in_flight), queue.in_flight),
    ...pair("Box", `${box.status}${box.detail ? `: ${box.detail}` : ""}`),
    ...pair("Last look", box.age_ms === undefined ? "none" : `${duration(box.age_ms)} ago`),
    ...pair("In memory", models ? `${models.resident.length} of ${models.installed.length} installed models` : "unknown"),
  );
  const resident = models?.resident ?? [];
  fillTable(at("resident"), "Models in memory", ["In memory", "Size", "Context, tokens"],
    resident.map((each) => [each.name, [bytes(each.size_bytes), each.size_bytes], count(each.context_length)]));
  at("resident").hidden = !resident.length;
  fillTable(at("parts"), "Parts of the router", ["Part", "State", ""],
    Object.entries(health.parts).map(([name, part]) => [name.replaceAll("_", " "), part.status, part.detail ?? ""]));
  for (const cell of at("parts").querySelectorAll("td:nth-child(2)")) cell.className = cell.textContent;
}

function failed(error) {
  const wantsKey = error.status === 401 || error.status === 403;
  at("key-form").hidden = !wantsKey;
  if (wantsKey && sessionStorage.getItem(KEY)) show("notice", "The router does not accept this key.");
  else if (!wantsKey) show("notice", `The figures could not be read: ${error.message}. Refresh to try again.`);
  else show("notice", "");
  if (wantsKey) at("key").focus();
}

async function load() {
  document.body.setAttribute("aria-busy", "true");
  const days = new FormData(at("controls")).get("days");
  show("notice", "Reading the figures…");
  const turn = ++state.turn;
  const [reports, health, models] = await Promise.allSettled([
    askReports(days), ask("/health"), ask("/api/v1/models"),
  ]);
  if (turn !== state.turn) return; // somebody has asked for something else since
  at("report").hidden = reports.status !== "fulfilled";
  at("state").hidden = health.status !== "fulfilled";
  at("key-form").hidden = true;
  if (health.status === "fulfilled") showState(health.value, models.value);
  if (reports.status === "fulfilled") {
    state.reports = reports.value;
    at("charts").hidden = !state.reports[0].total_requests;
    show("notice", at("charts").hidden ? "No requests in this period yet." : "");
    showReports();
  }
  const rejected = [reports, health, models].find((each) => each.status === "rejected");
  if (rejected) failed(rejected.reason);
  document.body.setAttribute("aria-busy", "false");
}

at("controls").addEventListener("change", load);
at("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key").value.trim());
  at("key").value = "";
  load();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.reports && showReports());
load();
