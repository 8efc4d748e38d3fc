"use strict";
// Charts, each beside a table of the same figures for those who cannot see it or want them exactly.

const charts = new Map();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const series = (index) => colour(`series-${index}`);

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Fill a table; the first cell of a row is its heading. Cells are texts, or [text, figure] where a figure is behind. */
function fillTable(table, caption, headings, rows) {
  const head = element("tr");
  head.append(...headings.map((text) => element("th", text, { scope: "col" })));
  const body = rows.map((cells) => {
    const row = element("tr");
    row.append(...cells.map((cell, index) => {
      const [text, value] = Array.isArray(cell) ? cell : [cell];
      const made = element(index ? "td" : "th", text, index ? {} : { scope: "row" });
      if (value !== undefined && value !== null) made.dataset.value = value;
      return made;
    }));
    return row;
  });
  const [thead, tbody] = [element("thead"), element("tbody")];
  thead.append(head);
  tbody.append(...body);
  table.replaceChildren(element("caption", caption, { class: "unseen" }), thead, tbody);
}

function common() {
  const [text, line] = [colour("muted"), colour("line")];
  const axis = { grid: { color: line, drawTicks: false }, border: { display: false }, ticks: { color: text, padding: 6 } };
  return {
    animation: false,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    plugins: { legend: { position: "bottom", labels: { color: text, usePointStyle: true, boxHeight: 7, padding: 12 } } },
    scales: {
      x: { ...axis, grid: { display: false }, ticks: { ...axis.ticks, maxRotation: 0, autoSkipPadding: 12 } },
      y: { ...axis, beginAtZero: true },
    },
  };
}

/** Bars that lie, one for each row. */
function lying(options, label, rows, value, tick) {
  const { x, y } = options.scales;
  options.indexAxis = "y";
  options.plugins.legend.display = false;
  options.scales = { x: { ...y, ticks: { ...y.ticks, ...tick } }, y: { ...x, ticks: { ...x.ticks, autoSkip: false } } };
  return { options, data: { labels: rows.map(label), datasets: [bars("", rows.map(value), 1)] } };
}

/** Draw a chart into a figure, and put its words and its table beside it. */
function draw(figure, { words, headings, rows, chart, open = false }) {
  let canvas = figure.querySelector("canvas");
  if (!canvas) {
    const frame = element("div", undefined, { class: "chart" });
    const details = element("details");
    const scroll = element("div", undefined, { class: "scroll" });
    canvas = element("canvas", undefined, { role: "img" });
    details.open = open;
    frame.append(canvas);
    scroll.append(element("table"));
    details.append(element("summary", "As a table"), scroll);
    figure.append(frame, details);
  }
  const title = figure.querySelector("h2").textContent;
  canvas.setAttribute("aria-label", `${title}. ${words}`);
  fillTable(figure.querySelector("table"), title, headings, rows);
  charts.get(figure.id)?.destroy();
  charts.set(figure.id, new Chart(canvas, chart(common())));
}

const line = (label, data, index, more = {}) => ({
  type: "line", label, data, borderColor: series(index), backgroundColor: series(index), borderWidth: 2,
  pointRadius: data.length > 31 ? 1 : 2, pointHitRadius: 10, ...more,
});
const bars = (label, data, index, more = {}) => ({
  type: "bar", label, data, backgroundColor: series(index), maxBarThickness: 28, pointStyle: "rect", ...more,
});
/** On a logarithmic axis there is no place for nothing. */
const positive = (values) => values.map((value) => (value > 0 ? value : null));
function logarithmic(options, label) {
  /** Label 1, 2 and 5 of every power of ten, or where there are many of those only 1. */
  function callback(value) {
    const round = this.max > 1000 * this.min ? /^1\.00e/ : /^[125]\.00e/;
    return round.test(value.toExponential(2)) ? label(value) : null;
  }
  const ticks = { ...options.scales.y.ticks, autoSkip: false, callback };
  return { ...options.scales.y, type: "logarithmic", beginAtZero: false, ticks };
}
