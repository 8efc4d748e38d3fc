"use strict";
// Figures as people read them. Everything is shown in English, so that it is the same for everybody who looks.

const number = (options) => {
  const format = new Intl.NumberFormat("en-US", options);
  return (value) => (value === null || value === undefined ? "unknown" : format.format(value));
};
const count = number({});
const percent = number({ style: "unit", unit: "percent", maximumFractionDigits: 2 });
const dollars = number({ style: "currency", currency: "USD" });
const smallDollars = number({
  style: "currency", currency: "USD", maximumSignificantDigits: 4, minimumSignificantDigits: 1,
});
const short = number({ maximumSignificantDigits: 3 });

/** Cents from a dollar on, four significant digits below. */
const usd = (value) => (value !== null && 0 < Math.abs(value) && Math.abs(value) < 1 ? smallDollars : dollars)(value);

const duration = (ms) => {
  if (ms === null || ms === undefined) return "none";
  if (ms < 1000) return `${count(ms)} ms`;
  return ms < 120000 ? `${short(ms / 1000)} s` : `${short(ms / 60000)} min`;
};

const bytes = (value) => (value < 1e9 ? `${short(value / 1e6)} MB` : `${short(value / 1e9)} GB`);
const share = (part, whole) => (whole ? percent((100 * part) / whole) : "0%");
const day = (date) => date.slice(5);

/** What a difference in dollars means, in words: its sign alone is easily overlooked. */
const saving = (value) => {
  if (value === null || value === undefined) return "unknown";
  return value < 0 ? `cost ${usd(-value)} more` : `saved ${usd(value)}`;
};
