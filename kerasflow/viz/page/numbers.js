"use strict";
// What is computed: which runs a filter leaves, which is best, what each hyperparameter does. Knows no element.

const data = JSON.parse(document.getElementById("numbers").textContent);
const seedless = data.params.map((param, place) => place).filter((place) => !data.params[place].seed);

const isNumber = (value) => typeof value === "number";
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** A value as a person reads it; a dash where there is none. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  if (!isNumber(value) || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(4)));
}

/** The runs of which `wanted` is true: {text, status, params: [{place, value} or {place, from, to}]}. */
function filtered(wanted) {
  const words = wanted.text.toLowerCase();
  return data.runs.filter((run) => {
    const said = [run.label, run.status, run.reason, ...run.params.map(shown)].join("\n").toLowerCase();
    if (!said.includes(words) || (wanted.status && run.status !== wanted.status)) return false;
    return wanted.params.every(({ place, value, from, to }) => {
      const own = run.params[place];
      if (value !== undefined) return own === value;
      return isNumber(own) && own >= (from ?? -Infinity) && own <= (to ?? Infinity);
    });
  });
}

/** The run with the best value of the metric at a place; undefined if none has one. */
function best(runs, place) {
  const sign = data.metrics[place]?.higher ? -1 : 1;
  const having = runs.filter((run) => isNumber(run.metrics[place]));
  return having.reduce((a, b) => (sign * b.metrics[place] < sign * a.metrics[place] ? b : a), having[0]);
}

/** By value of a param: runs, those without the metric, settings, mean and spread, as kerasflow/tracking/effects.py. */
function levels(runs, param, metric) {
  const groups = new Map(data.params[param].values.map((value) => [value, new Map()]));
  for (const run of runs) {
    const key = JSON.stringify(seedless.map((place) => run.params[place]));
    const settings = groups.get(run.params[param]);
    settings.set(key, [...(settings.get(key) ?? []), run.metrics[metric]]);
  }
  return [...groups].filter(([, settings]) => settings.size).map(([value, settings]) => {
    const all = [...settings.values()];
    const measured = all.map((repeats) => repeats.filter(isNumber)).filter((repeats) => repeats.length);
    const count = measured.flat().length;
    const means = measured.map(mean);
    const squares = measured.flatMap((repeats, index) => repeats.map((one) => (one - means[index]) ** 2));
    const free = count - measured.length;
    return {
      value,
      runs: count,
      without: all.flat().length - count,
      settings: measured.length,
      mean: count ? mean(means) : null,
      std: free ? Math.sqrt(squares.reduce((sum, one) => sum + one, 0) / free) : null,
    };
  });
}

/** Runs as CSV, fields in quotes where they need them. */
function csv(header, rows) {
  const field = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [header, ...rows].map((row) => row.map(field).join(",") + "\n").join("");
}
